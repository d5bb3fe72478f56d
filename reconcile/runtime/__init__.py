"""What all programs share: settings, clock, log, signals, backoff, git. Has no domain logic."""
