"""Committed generations: log, list, restore, verify, and garbage collection.

Everything here works on the store alone, without a claim and without a workspace.
"""
