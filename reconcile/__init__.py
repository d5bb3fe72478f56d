"""Makes the agent sessions in a cluster equal to the session files in a git repository."""

__version__ = "0.1.0"
