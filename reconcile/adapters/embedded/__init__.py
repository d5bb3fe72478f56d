"""A small API server in this process, for demo, simulation and tests: the kinds we ship, no more.

Where it differs from a real server in what the shared contract suite checks, it is wrong.
"""
