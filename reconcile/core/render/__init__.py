"""Renders a session's manifests from templates: the only package that imports Jinja.

Templates are not trusted: they see plain values only, every session gets fresh state, and all work
is charged to a budget of steps. No clock is used, so the same inputs give the same objects or the
same problems everywhere.
"""
