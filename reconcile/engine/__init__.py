"""Asks ports for facts, the core for a plan, and ports to carry it out; decides nothing itself."""
