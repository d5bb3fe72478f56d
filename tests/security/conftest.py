"""A tree with one session, and a clean environment for the program."""

from tests.cli.conftest import tree

__all__ = ["tree"]
