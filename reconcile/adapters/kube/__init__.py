"""A real API server as the engine's `Cluster`; the only package that uses pykube-ng.

`connect` finds the server and the credentials as kubectl does; `cluster` implements the port;
`transport` sends a request, and repeats it only with a new credential after a 401; `errors`
translates every failure. Decision 39 says which parts of pykube-ng are used.
"""
