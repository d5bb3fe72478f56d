"""Options that commands share, each declared once and handed over as one value.

The option `--plan-digest`: which plan was approved.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from reconcile.core.plan.approval import Approval, parse_approved_digest, parse_approved_plan
from reconcile.core.report.markdown import MAX_COMMENT_BYTES, MIN_COMMENT_BYTES
from reconcile.engine.reconciler import ReconcilerOptions

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

MAX_CONCURRENCY = 64
"""More than that only queues up at the API server."""

_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Where desired state is: the folder of session files, and templates beside the shipped."""

    tree: Path
    templates: Path | None


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """What a diff looks at: a revision, or where `against` is None a cluster.

    `server_dry_run` asks the cluster what it would make of the plan.
    """

    prune: bool
    against: str | None
    server_dry_run: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster is meant; all empty means kubectl's rules."""

    kubeconfig: str
    context: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Output:
    """How results are shown; `colour` is None where it depends on where they go.

    `limit` is the most bytes that a comment may have.
    """

    form: str
    verbose: bool = False
    colour: bool | None = None
    limit: int = MAX_COMMENT_BYTES


def _bundle_options(name: str, kind: type, *options: _Decorator) -> _Decorator:
    """Hand several options over as one value of a dataclass, whose fields they are named after."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def bundled(**values: Any) -> Any:
            names = [field.name for field in fields(kind) if field.name in values]
            parts = {name: values.pop(name) for name in names}
            return command(**values, **{name: kind(**parts)})

        decorated: Callable[..., Any] = bundled
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


source_options = _bundle_options(
    "source",
    SourceOptions,
    click.argument("tree", metavar="[DIR]", default="desired", type=_FOLDER),
    click.option(
        "--templates",
        metavar="DIR",
        type=_FOLDER,
        help="Templates of your own (`*.yaml.j2`): they add to the shipped ones, and replace those "
        "of the same file name.",
    ),
)
"""Take the folder of session files, and templates."""

connection_options = _bundle_options(
    "connection",
    Connection,
    click.option(
        "--kubeconfig",
        metavar="FILE",
        default="",
        help="The kubeconfig to use. Without it: $KUBECONFIG, then ~/.kube/config, then the "
        "service account of the pod.",
    ),
    click.option("--context", default="", help="The kubeconfig context to use."),
    click.option(
        "--cluster",
        metavar="embedded:FILE",
        default="",
        help="Use an embedded cluster that lives in this file instead of a real one.",
    ),
)
"""Take what names the cluster."""

prune_option = click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    help="Delete objects of ours that are no longer declared.",
)
"""Take whether to delete what is no longer declared."""

pass_options = _bundle_options(
    "options",
    ReconcilerOptions,
    prune_option,
    click.option(
        "--concurrency",
        type=click.IntRange(1, MAX_CONCURRENCY),
        default=16,
        show_default=True,
        help="How many sessions are worked on at a time.",
    ),
)
"""Take how a pass is carried out."""


diff_options = _bundle_options(
    "options",
    DiffOptions,
    prune_option,
    click.option(
        "--against",
        metavar="REV",
        help="Compare with the same folder at this git revision instead of a cluster: no cluster, "
        "no credentials and no network are used.",
    ),
    click.option(
        "--server-dry-run",
        is_flag=True,
        help="Ask the server as well what admission would change or refuse. Changes nothing, but "
        "needs the rights to create and patch.",
    ),
)
"""Take what a diff looks at."""


def output_options(*forms: str) -> _Decorator:
    """Take how results are shown; the first form is the default."""
    return _bundle_options(
        "output",
        Output,
        click.option(
            "-o",
            "--output",
            "form",
            type=click.Choice(forms),
            default=forms[0],
            show_default=True,
            is_eager=True,  # so that others know it, wherever it stands
            help="The form of the output.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Show unchanged objects as well."),
        click.option(
            "--color/--no-color",
            "colour",
            default=None,
            help="Colour the text. Default: if it goes to a terminal and $NO_COLOR is not set.",
        ),
    )


def _check_comment_limit(context: click.Context, _: click.Parameter, limit: int | None) -> int:
    if limit is not None and context.params.get("form") != "markdown":
        raise click.UsageError("--limit goes with -o markdown only")
    return MAX_COMMENT_BYTES if limit is None else limit


limit_option = click.option(
    "--limit",
    type=click.IntRange(min=MIN_COMMENT_BYTES),
    metavar="BYTES",
    callback=_check_comment_limit,
    help="With -o markdown: the most bytes that the comment may have. Default: what GitHub takes.",
)
"""Take how long a comment may be; goes above the output's options, of which it is one."""


_FILE_PREFIX = "@"


def _parse_approved(_: click.Context, __: click.Parameter, value: str | None) -> Approval | None:
    """Read a digest, or the plan itself from a file; a usage error says what is wrong."""
    if value is None:
        return None
    path = value.removeprefix(_FILE_PREFIX)
    try:
        return (
            parse_approved_digest(value)
            if path == value
            else parse_approved_plan(Path(path).read_bytes())
        )
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise click.BadParameter(str(error) if path == value else f"{path} {error}") from error


plan_digest_option = click.option(
    "--plan-digest",
    "approved",
    callback=_parse_approved,
    metavar="DIGEST|@FILE",
    help="Carry out the plan with this digest and no other. A file with the output of `diff -o "
    "json` lets a refusal name each object.",
)
"""Take which plan was approved, None where any is."""
