"""Rules for the structure of the code, and figures about it."""
