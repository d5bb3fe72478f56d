"""Reads and renders folders of session files, and prints nothing: `python -m bench.sides DIR...`.

Each folder gets a new builder, as in two runs of the program.
"""

import sys
from pathlib import Path

from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.engine.desired import DesiredBuilder


def main(folders: list[str]) -> None:
    """Build desired state once for each folder."""
    templates = read_templates(find_shipped_templates())
    for folder in folders:
        DesiredBuilder(templates).build(DirectorySource(Path(folder)).read())


if __name__ == "__main__":
    main(sys.argv[1:])
