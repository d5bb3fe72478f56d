"""The program `reconcile-runner`: its commands and their options.

Every option can be set in the environment: `--state-dir` is `$RECONCILE_RUNNER_STATE_DIR`.
"""

import sys
from pathlib import Path
from typing import Any

import click

from reconcile import __version__
from reconcile.runtime.process import prepare_standard_streams

_PATH = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile-runner")
def runner_cli() -> None:
    """Prepare a session's workspace for the agent, and connect the agent to its session.

    `prepare` clones repositories before the agent starts; `bridge` runs next to it. Every option
    can be set in the environment: --state-dir is $RECONCILE_RUNNER_STATE_DIR.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with its code."""
    prepare_standard_streams()
    code: Any = runner_cli.main(
        arguments, prog_name="reconcile-runner", auto_envvar_prefix="RECONCILE_RUNNER"
    )
    sys.exit(code)
