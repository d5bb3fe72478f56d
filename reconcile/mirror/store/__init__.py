"""Where snapshots are kept: a port, its S3 implementation, and one in memory for tests."""
