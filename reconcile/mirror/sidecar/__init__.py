"""The two processes in a session's pod, `hydrate` and `sync`, their status and their end."""
