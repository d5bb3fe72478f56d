"""The command line: parses, wires, prints, and maps errors to exit codes; nobody else does."""
