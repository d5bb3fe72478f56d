"""Kills the programs of a session's pods, and checks what the next pod does."""
