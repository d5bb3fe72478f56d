"""From a workspace to a committed generation: read, upload, build the tree, repack, commit."""
