"""Sources of desired files: a folder, and a folder at a git commit."""
