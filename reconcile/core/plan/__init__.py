"""Desired and live state in, a plan out: what each session needs, and what may not be done now."""
