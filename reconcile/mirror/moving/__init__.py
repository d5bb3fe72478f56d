"""Moving in and out: other layouts become a generation, and a generation becomes plain files."""
