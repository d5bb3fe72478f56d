"""Pure functions over text and values: no clock, network, files, environment or logging."""
