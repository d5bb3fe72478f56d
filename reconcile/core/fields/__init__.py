"""What an object's fields mean: which list is keyed, what we own, what differs, what it costs."""
