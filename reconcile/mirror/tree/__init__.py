"""The workspace's side of the mirror: everything goes through directory descriptors, no link."""
