"""What this project relies on of a runner, for the double and for the real one."""
