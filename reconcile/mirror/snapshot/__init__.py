"""The snapshot format: how its objects are encoded, and which of them are needed.

Pure: bytes and values in, values out. No store, no workspace, no clock.
"""
