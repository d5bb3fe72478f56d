"""A small API server in this process, for demos and tests; it serves only the kinds of templates.

If it differs from a real server in a test of the contract suite, it is wrong.
"""
