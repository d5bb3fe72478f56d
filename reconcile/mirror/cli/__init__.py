"""The command line of `reconcile-mirror`: commands, options, exit codes. No logic of the mirror."""
