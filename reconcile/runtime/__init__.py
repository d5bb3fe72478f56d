"""Process plumbing that every program shares: settings, logs, signals. Knows no domain."""
