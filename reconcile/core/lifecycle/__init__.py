"""The lifecycle of a session: its phase and health, read from its pod."""
