"""What `deploy/` installs: it grants what is needed and no more, and a server takes it."""
