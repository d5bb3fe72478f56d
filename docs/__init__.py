"""Documents, and the small programs that write or show them."""
