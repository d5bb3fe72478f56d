"""`python -m reconcile.mirror`."""

from reconcile.mirror.cli.main import main

main()
