"""The commands on what was committed before: `log`, `ls`, `restore`, `verify`, `gc`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile.mirror.cli.options import PATH_TYPE, bucket_options, combine_options, output_option
from reconcile.mirror.exit_codes import MirrorExitCode

if TYPE_CHECKING:
    from reconcile.mirror.history.gc import GcPolicy, GcResult
    from reconcile.mirror.wiring import OpenStore

at_option = click.option(
    "--at",
    default="",
    help="A generation's number, or a time: the last one then. The current one if not given.",
)

retention_options = combine_options(
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


def open_store_from_options(options: dict[str, Any]) -> "OpenStore":
    """Open the store that the options name."""
    from reconcile.mirror.wiring import open_bucket

    return open_bucket(options)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines one by one."""
    for line in lines:
        click.echo(line)


@click.command()
@bucket_options
@output_option
def log(output: str, **options: Any) -> int:
    """List the generations that are kept, the oldest first, and what each has changed."""
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.generations import read_generation_index
    from reconcile.mirror.history.log import GenerationLog

    store = open_store_from_options(options).store
    past = read_generation_index(store)
    told = GenerationLog(store, past).read_entries()
    if output == "json":
        click.echo(showing.log_json(told))
    else:
        echo_lines(showing.log_text(told))
    for key, reason in past.unreadable.items():
        click.echo(f"{key} cannot be read: {reason}", err=True)
    return MirrorExitCode.DAMAGED if past.unreadable else MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.argument("path", default="")
def ls(at: str, path: str, output: str, **options: Any) -> int:
    """List what a generation holds: all of it, or what is at PATH and below."""
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.generations import read_generation_tree, select_generation
    from reconcile.mirror.history.log import select_entries

    store = open_store_from_options(options).store
    generation = select_generation(store, at)
    entries = select_entries(read_generation_tree(store, generation), path)
    if output == "json":
        click.echo(showing.entries_json(generation.number, entries))
    else:
        echo_lines(map(showing.entry_text, entries))
    return MirrorExitCode.OK


@click.command()
@bucket_options
@at_option
@click.argument("target", type=PATH_TYPE)
def restore(at: str, target: Path, **options: Any) -> int:
    """Restore a generation into the directory TARGET, which is new or empty."""
    from reconcile.mirror.history.generations import select_generation
    from reconcile.mirror.history.restore import restore_to_directory as write

    means = open_store_from_options(options)
    generation = select_generation(means.store, at)
    done = write(means.store, generation, target, means.pool, means.clock)
    click.echo(f"generation {generation.number}: {done.files} files, {done.size} bytes")
    return MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.option("--all", "everything", is_flag=True, help="All generations that are kept.")
def verify(at: str, everything: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Read every object that a generation needs, and check it by its digest."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history import output as showing
    from reconcile.mirror.history.verify import verify_generations

    if at and everything:
        raise SettingsError("--at and --all exclude each other")
    found = verify_generations(open_store_from_options(options), at, everything=everything)
    if output == "json":
        click.echo(showing.verify_json(found))
    else:
        echo_lines(showing.verify_text(found))
    return MirrorExitCode.DAMAGED if found.damaged else MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@retention_options
@click.option("--delete", is_flag=True, help="Do it. Without, it is only told what would go.")
def gc(delete: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Delete what no generation that is kept needs, a grace time after it was found so."""
    from reconcile.mirror.history import output as showing

    found = _run_gc(_build_gc_policy(options), delete, open_store_from_options(options))
    if output == "json":
        click.echo(showing.gc_json(found, is_deleting=delete))
    else:
        echo_lines(showing.gc_text(found, is_deleting=delete))
    return MirrorExitCode.OK


def _build_gc_policy(options: dict[str, Any]) -> "GcPolicy":
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history.gc import MIN_GRACE, GcPolicy
    from reconcile.mirror.snapshot.retention import RetentionPolicy
    from reconcile.mirror.units import parse_duration

    kept = (options.pop(name) for name in ("keep_last", "keep_hourly", "keep_daily"))
    text = options.pop("grace")
    grace = parse_duration(text)
    if grace < MIN_GRACE:
        raise SettingsError(f"--grace is {text}: it must be 1h or more, for writers that are slow")
    return GcPolicy(RetentionPolicy(*kept), grace)


def _run_gc(policy: "GcPolicy", delete: bool, open_store: "OpenStore") -> "GcResult":  # noqa: FBT001
    from reconcile.mirror.history.gc import GarbageCollector, preview_gc

    if delete:
        return GarbageCollector(open_store.store, policy, open_store.clock).collect()
    return preview_gc(open_store.store, policy, open_store.clock)


HISTORY_COMMANDS = (log, ls, restore, verify, gc)
