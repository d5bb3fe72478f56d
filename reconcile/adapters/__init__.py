"""One door for each outside system: implements a port, and foreign errors end here."""
