"""The whole program against a real API server, with exactly the rights that `deploy/` grants."""
