"""The commands on committed generations: `log`, `ls`, `restore`, `verify`, `gc`."""

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
    help="A generation's number, or a time: the last generation at that time. Default: the current "
    "one.",
)

retention_options = combine_options(
    click.option(
        "--keep-last",
        type=click.IntRange(1),
        default=24,
        show_default=True,
        help="How many of the last generations to keep.",
    ),
    click.option(
        "--keep-hourly",
        type=click.IntRange(0),
        default=24,
        show_default=True,
        help="For how many of the last hours to keep one generation each.",
    ),
    click.option(
        "--keep-daily",
        type=click.IntRange(0),
        default=30,
        show_default=True,
        help="For how many of the last days to keep one generation each.",
    ),
    click.option(
        "--grace",
        default="24h",
        show_default=True,
        help="How long an object must have been unneeded before it is deleted: at least 1h.",
    ),
)


def open_store_from_options(options: dict[str, Any]) -> "OpenStore":
    """Open the store that the options name; its retries end with the command."""
    from reconcile.mirror.wiring import InterruptibleClock, open_bucket

    clock = InterruptibleClock()
    click.get_current_context().call_on_close(clock.interrupt)
    return open_bucket(options, clock)


def echo_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines one by one; the keys of a bucket may have control characters."""
    from reconcile.runtime.logging import escape_controls

    for line in lines:
        click.echo(escape_controls(line), err=err)


def echo_json(text: str) -> None:
    """Print a JSON document of several lines."""
    echo_lines(text.splitlines())


@click.command()
@bucket_options
@output_option
def log(output: str, **options: Any) -> int:
    """List the existing generations, oldest first, and what changed in each."""
    from reconcile.mirror.history import output as formatter
    from reconcile.mirror.history.generations import read_generation_index
    from reconcile.mirror.history.log import GenerationLog

    store = open_store_from_options(options).store
    index = read_generation_index(store)
    generation_log = GenerationLog(store, index)
    entries = generation_log.read_entries()
    if output == "json":
        echo_json(formatter.log_json(entries))
    else:
        echo_lines(formatter.log_text(entries))
    unreadable = (f"{key} cannot be read: {why}" for key, why in index.unreadable.items())
    echo_lines(unreadable, err=True)
    return MirrorExitCode.DAMAGED if generation_log.has_damage else MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.argument("path", default="")
def ls(at: str, path: str, output: str, **options: Any) -> int:
    """List the entries of a generation: all of them, or PATH and everything below it."""
    from reconcile.mirror.history import output as formatter
    from reconcile.mirror.history.generations import read_generation_tree, select_generation
    from reconcile.mirror.history.log import select_entries

    store = open_store_from_options(options).store
    generation = select_generation(store, at)
    entries = select_entries(read_generation_tree(store, generation), path)
    if output == "json":
        echo_json(formatter.entries_json(generation.number, entries))
    else:
        echo_lines(map(formatter.entry_text, entries))
    return MirrorExitCode.OK


@click.command()
@bucket_options
@at_option
@click.argument("target", type=PATH_TYPE)
def restore(at: str, target: Path, **options: Any) -> int:
    """Restore a generation into the directory TARGET, which must be new or empty."""
    from reconcile.mirror.history.generations import select_generation
    from reconcile.mirror.history.restore import restore_to_directory

    opened = open_store_from_options(options)
    generation = select_generation(opened.store, at)
    result = restore_to_directory(opened.store, generation, target, opened.pool, opened.clock)
    click.echo(f"generation {generation.number}: {result.files} files, {result.size} bytes")
    return MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@at_option
@click.option("--all", "everything", is_flag=True, help="Verify all existing generations.")
def verify(at: str, everything: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Read every object that a generation needs, and check its digest."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history import output as formatter
    from reconcile.mirror.history.verify import verify_generations

    if at and everything:
        raise SettingsError("--at and --all exclude each other")
    result = verify_generations(open_store_from_options(options), at, everything=everything)
    if output == "json":
        echo_json(formatter.verify_json(result))
    else:
        echo_lines(formatter.verify_text(result))
    return MirrorExitCode.DAMAGED if result.damaged else MirrorExitCode.OK


@click.command()
@bucket_options
@output_option
@retention_options
@click.option("--delete", is_flag=True, help="Delete. Without it, only list what would be deleted.")
def gc(delete: bool, output: str, **options: Any) -> int:  # noqa: FBT001 - click
    """Delete objects that no kept generation needs, a grace period after they were marked."""
    from reconcile.mirror.history import output as formatter

    result = _run_gc(_build_gc_policy(options), delete, open_store_from_options(options))
    if output == "json":
        echo_json(formatter.gc_json(result, is_deleting=delete))
    else:
        echo_lines(formatter.gc_text(result, is_deleting=delete))
    return MirrorExitCode.OK


def _build_gc_policy(options: dict[str, Any]) -> "GcPolicy":
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.history.gc import MIN_GRACE, GcPolicy
    from reconcile.mirror.snapshot.retention import RetentionPolicy
    from reconcile.mirror.units import parse_duration

    counts = (options.pop(name) for name in ("keep_last", "keep_hourly", "keep_daily"))
    text = options.pop("grace")
    grace = parse_duration(text)
    if grace < MIN_GRACE:
        raise SettingsError(f"--grace is {text}: give 1h or more, because writers may be slow")
    return GcPolicy(RetentionPolicy(*counts), grace)


def _run_gc(policy: "GcPolicy", delete: bool, open_store: "OpenStore") -> "GcResult":  # noqa: FBT001
    from reconcile.mirror.history.gc import GarbageCollector, preview_gc

    if delete:
        return GarbageCollector(open_store.store, policy, open_store.clock).collect()
    return preview_gc(open_store.store, policy, open_store.clock)


HISTORY_COMMANDS = (log, ls, restore, verify, gc)
