"""The platform's runner in tests: a double of it, the real code, and one suite for both."""
