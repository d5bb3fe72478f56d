"""What an API server makes of an object before it stores it: zeros, defaults, quantities.

Only what every server does to everybody's objects is here; the embedded cluster and the offline
diff both go by it. What a cluster's own settings add (storage classes, limit ranges, webhooks)
nobody can know without asking.
"""
