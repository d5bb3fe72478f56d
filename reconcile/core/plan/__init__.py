"""Computes a plan from desired and live state: the changes, and which of them are held."""
