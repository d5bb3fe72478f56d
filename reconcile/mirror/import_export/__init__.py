"""Import of workspaces from other storage layouts, and export to them.

Used by `reconcile-mirror import` and `export` only; nothing here runs in a session's pod.
"""
