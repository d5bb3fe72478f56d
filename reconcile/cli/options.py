"""Options that several commands share, each group passed to the command as one value."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

import click

from reconcile.core.plan.approval import Approval, parse_approved_digest, parse_approved_plan
from reconcile.core.report.markdown import MAX_COMMENT_BYTES, MIN_COMMENT_BYTES
from reconcile.engine.reconciler import ReconcilerOptions
from reconcile.runtime.files import read_limited

_Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

MAX_CONCURRENCY = 64
"""More requests than these would only wait in the API server."""

_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Where desired state is: the folder of session files, and templates of the user."""

    tree: Path
    templates: Path | None


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """What a diff compares with: a git revision, or the cluster if `against` is None.

    With `server_dry_run`, the server is asked what admission would change or refuse.
    """

    prune: bool
    against: str | None
    server_dry_run: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster to use; if all are empty, it is found as kubectl finds it."""

    kubeconfig: str
    context: str
    cluster: str


@dataclass(frozen=True, slots=True)
class Output:
    """How results are shown; `colour` None: only on a terminal.

    `limit` is the maximum size of a comment in bytes.
    """

    form: str
    verbose: bool = False
    colour: bool | None = None
    limit: int = MAX_COMMENT_BYTES


def _bundle_options(name: str, kind: type, *options: _Decorator) -> _Decorator:
    """Pass several options as one dataclass; its fields have the names of the options."""

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
        help="Your own templates (`*.yaml.j2`), in addition to the built-in ones. A file of the "
        "same name replaces a built-in template.",
    ),
)
"""The options of `SourceOptions`."""

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
        help="Use an embedded cluster that is stored in this file, instead of a real one.",
    ),
)
"""The options of `Connection`."""

prune_option = click.option(
    "--prune/--no-prune",
    default=True,
    show_default=True,
    help="Delete objects of the installation that are no longer declared.",
)
"""Whether undeclared objects are deleted."""

pass_options = _bundle_options(
    "options",
    ReconcilerOptions,
    prune_option,
    click.option(
        "--concurrency",
        type=click.IntRange(1, MAX_CONCURRENCY),
        default=16,
        show_default=True,
        help="How many sessions are processed at a time.",
    ),
)
"""The options of `ReconcilerOptions`."""


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
        help="Also ask the server what admission would change or refuse. Changes nothing, but "
        "needs permission to create and patch.",
    ),
)
"""The options of `DiffOptions`."""


def output_options(*forms: str) -> _Decorator:
    """Add the options of `Output`; the first form is the default."""
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
            is_eager=True,  # parsed first, since --limit depends on it
            help="The output format.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Also show unchanged objects."),
        click.option(
            "--color/--no-color",
            "colour",
            default=None,
            help="Colour the output. Default: on a terminal, unless $NO_COLOR is set.",
        ),
    )


def _check_comment_limit(context: click.Context, _: click.Parameter, limit: int | None) -> int:
    if limit is not None and context.params.get("form") != "markdown":
        raise click.UsageError("--limit can only be used with -o markdown")
    return MAX_COMMENT_BYTES if limit is None else limit


limit_option = click.option(
    "--limit",
    type=click.IntRange(min=MIN_COMMENT_BYTES),
    metavar="BYTES",
    callback=_check_comment_limit,
    help="With -o markdown: the maximum size of the comment. Default: the maximum of GitHub.",
)
"""The maximum size of a comment, a field of `Output`; must come after `output_options`."""


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
            else parse_approved_plan(read_limited(Path(path)))
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
    help="Apply only the plan with this digest. With a file that has the output of `diff -o json`, "
    "a refusal names each object that differs.",
)
"""Which plan was approved; None if any plan may be applied."""
