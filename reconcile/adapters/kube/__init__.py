"""The door to a real API server: pykube-ng and requests are used here and nowhere else.

`connect` finds the server and the credentials as kubectl does; `cluster` is the port; `wire` sends
one request and nothing twice, but for a credential that was refused; `errors` words every answer.
"""
