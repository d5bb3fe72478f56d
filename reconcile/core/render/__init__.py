"""Session and templates in, manifests out: the one door to Jinja.

A template may compute, but nothing that it does lasts, leaks or runs away: it sees plain values
only, every session gets fresh state, and all work is paid from a budget of steps. There is no
clock, so the same inputs give the same objects or the same problems everywhere.
"""
