"""`python -m reconcile.mirror`."""

from reconcile.mirror.cli import main

main()
