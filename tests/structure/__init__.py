"""How the code is divided: sizes, cycles, and how many files one run has to pass through."""
