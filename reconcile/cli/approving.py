"""The option `--plan-digest`: which plan was approved."""

from pathlib import Path

import click

from reconcile.core.plan.approval import Approved, parse_digest, parse_plan

_FILE = "@"


def _approved(_: click.Context, __: click.Parameter, value: str | None) -> Approved | None:
    """Read a digest, or the plan itself from a file; a usage error says what is wrong."""
    if value is None:
        return None
    path = value.removeprefix(_FILE)
    try:
        return parse_digest(value) if path == value else parse_plan(Path(path).read_bytes())
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise click.BadParameter(str(error) if path == value else f"{path} {error}") from error


plan_digest_option = click.option(
    "--plan-digest",
    "approved",
    callback=_approved,
    metavar="DIGEST|@FILE",
    help="Carry out the plan with this digest and no other. A file with the output of `diff -o "
    "json` lets a refusal name each object.",
)
"""Take which plan was approved, None where any is."""
