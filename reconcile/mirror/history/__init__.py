"""What was committed before: told, listed, restored, verified, and in the end collected."""
