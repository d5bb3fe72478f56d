"""The command line: the only package that parses options, wires adapters, prints, and exits."""
