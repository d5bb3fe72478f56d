"""`python -m reconcile.runner`."""

from reconcile.runner.cli import main

main()
