"""Keeps one workspace and one S3 prefix equal; knows no session spec and no cluster."""
