"""Runs passes: reads through ports, plans by the core, applies through ports; decides nothing."""
