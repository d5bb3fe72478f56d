"""The commands on what was committed before: `log`, `ls`, `restore`, `verify`, `gc`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile.mirror.cli.options import FOLDER, bucket_options, output_option, together
from reconcile.mirror.exit_codes import Exit

if TYPE_CHECKING:
    from reconcile.mirror.history.gc import Collected, Rules
    from reconcile.mirror.wiring import Opened

at_option = click.option(
    "--at",
    default="",
    help="A generation's number, or a time: the last one then. The current one if not given.",
)

retention_options = together(
    click.option(
        "--keep-last",
        type=click.IntRange(1),
        default=24,
        show_default=True,
        help="How many of the last generations are kept.",
    ),
    click.option(
        "--keep-hourly",
        type=click.IntRange(0),
        default=24,
        show_default=True,
        help="For how many of the last hours one generation is kept.",
    ),
    click.option(
        "--keep-daily",
        type=click.IntRange(0),
        default=30,
        show_default=True,
        help="For how many of the last days one generation is kept.",
    ),
    click.option(
        "--grace",
        default="24h",
        show_default=True,
        help="How long something must have been unneeded before it goes: at least 1h.",
    ),
)


def opened(options: dict[str, Any]) -> "Opened":
    """Open the store that the options name."""
    from reconcile.mirror.wiring import open_bucket

    return open_bucket(options)


def say(lines: Iterable[str]) -> None:
    """Print lines one by one."""
    for line in lines:
        click.echo(line)


@click.command()
@bucket_options
@output_option
def log(output: str, **options: Any) -> int:
    """List the generations that are kept, the oldest first, and what each has changed."""
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.generations import read_past
    from reconcile.mirror.history.log import Timeline

    store = opened(options).store
    past = read_past(store)
    told = Timeline(store, past).tell()
    if output == "json":
        click.echo(showing.log_json(told))
    else:
        say(showing.log_text(told))
    for key, reason in past.troubles.items():
        click.echo(f"{key} cannot be read: {reason}", err=True)
    return Exit.DAMAGED if past.troubles else Exit.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.argument("path", default="")
def ls(at: str, path: str, output: str, **options: Any) -> int:
    """List what a generation holds: all of it, or what is at PATH and below."""
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.generations import choose, read_tree
    from reconcile.mirror.history.log import below

    store = opened(options).store
    generation = choose(store, at)
    entries = below(read_tree(store, generation), path)
    if output == "json":
        click.echo(showing.entries_json(generation.number, entries))
    else:
        say(map(showing.entry_text, entries))
    return Exit.OK


@click.command()
@bucket_options
@at_option
@click.argument("target", type=FOLDER)
def restore(at: str, target: Path, **options: Any) -> int:
    """Restore a generation into the directory TARGET, which is new or empty."""
    from reconcile.mirror.history.generations import choose
    from reconcile.mirror.history.restore import restore as write

    means = opened(options)
    generation = choose(means.store, at)
    done = write(means.store, generation, target, means.lanes, means.clock)
    click.echo(f"generation {generation.number}: {done.files} files, {done.size} bytes")
    return Exit.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.option("--all", "everything", is_flag=True, help="All generations that are kept.")
def verify(at: str, everything: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Read every object that a generation needs, and check it by its digest."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.verify import check

    if at and everything:
        raise SettingsError("--at and --all exclude each other")
    found = check(opened(options), at, everything=everything)
    if output == "json":
        click.echo(showing.verified_json(found))
    else:
        say(showing.verified_text(found))
    return Exit.DAMAGED if found.damages else Exit.OK


@click.command()
@bucket_options
@output_option
@retention_options
@click.option("--delete", is_flag=True, help="Do it. Without, it is only told what would go.")
def gc(delete: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Delete what no generation that is kept needs, a grace time after it was found so."""
    from reconcile.mirror.history import output as showing

    found = _collect(_rules(options), delete, opened(options))
    if output == "json":
        click.echo(showing.collected_json(found, deleting=delete))
    else:
        say(showing.collected_text(found, deleting=delete))
    return Exit.OK


def _rules(options: dict[str, Any]) -> "Rules":
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history.gc import MIN_GRACE, Rules
    from reconcile.mirror.snapshot.retention import Policy
    from reconcile.mirror.units import seconds

    kept = (options.pop(name) for name in ("keep_last", "keep_hourly", "keep_daily"))
    text = options.pop("grace")
    grace = seconds(text)
    if grace < MIN_GRACE:
        raise SettingsError(f"--grace is {text}: it must be 1h or more, for writers that are slow")
    return Rules(Policy(*kept), grace)


def _collect(rules: "Rules", delete: bool, means: "Opened") -> "Collected":  # noqa: FBT001
    from reconcile.mirror.history.gc import Collector, preview

    if delete:
        return Collector(means.store, rules, means.clock).collect()
    return preview(means.store, rules, means.clock)


COMMANDS = (log, ls, restore, verify, gc)
