"""Output of the history commands, as text and as JSON."""

import stat
from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

import orjson

from reconcile.mirror.history.gc import GcResult
from reconcile.mirror.history.log import LogEntry, UnreadableGeneration
from reconcile.mirror.history.verify import DamagedObject, VerifyResult
from reconcile.mirror.model import Directory, Entry, File, HardLink, Partial, Symlink
from reconcile.mirror.snapshot.encoding import encode_text, format_mtime, format_timestamp
from reconcile.mirror.snapshot.entries import encode_entry
from reconcile.mirror.snapshot.head import encode_completeness, encode_writer
from reconcile.mirror.store.port import ListedObject

_KIBI: Final = 1024
_MAX_EXAMPLES: Final = 5
_SIZE_UNITS: Final = "BKMGT"


def size_text(size: int) -> str:
    """Format a number of bytes for people, such as `1.5M`."""
    value, unit = float(size), 0
    while value >= _KIBI and unit < len(_SIZE_UNITS) - 1:
        value, unit = value / _KIBI, unit + 1
    return f"{size}B" if not unit else f"{value:.1f}{_SIZE_UNITS[unit]}"


def log_text(entries: Iterable[LogEntry | UnreadableGeneration]) -> Iterable[str]:
    """Yield a header line, and a line for each generation."""
    yield f"{'GENERATION':>10}  {'TIME':30}  {'STATE':8}  {'FILES':>8}  {'CHANGED':>20}  WRITER"
    for entry in entries:
        match entry:
            case UnreadableGeneration(number, time, reason):
                yield f"{number:>10}  {format_timestamp(time):30}  damaged   {reason}"
            case LogEntry():
                yield _log_entry_text(entry)


def _log_entry_text(entry: LogEntry) -> str:
    state = "partial" if isinstance(entry.completeness, Partial) else "complete"
    change = f"{entry.change.files} files, {size_text(entry.change.size)}"
    if entry.change.deleted:
        change += f", -{entry.change.deleted}"
    name = encode_text(entry.writer.name or entry.writer.uid)
    return (
        f"{entry.number:>10}  {format_timestamp(entry.time):30}  {state:8}  {entry.files:>8}  "
        f"{change:>20}  {name} (epoch {entry.writer.epoch})"
    )


def log_json(entries: Iterable[LogEntry | UnreadableGeneration]) -> str:
    """Format all generations as one object."""
    return _dumps({"generations": [_log_entry_json(entry) for entry in entries]})


def _log_entry_json(entry: LogEntry | UnreadableGeneration) -> dict[str, Any]:
    match entry:
        case UnreadableGeneration(number, time, reason):
            return {"generation": number, "time": format_timestamp(time), "damaged": reason}
        case LogEntry():
            return {
                "generation": entry.number,
                "time": format_timestamp(entry.time),
                "partial": encode_completeness(entry.completeness),
                "files": entry.files,
                "bytes": entry.size,
                "changed": {
                    "files": entry.change.files,
                    "bytes": entry.change.size,
                    "gone": entry.change.deleted,
                },
                "writer": encode_writer(entry.writer),
            }
        case _:
            assert_never(entry)


def entry_text(entry: Entry) -> str:
    """Format an entry like `ls -l`; names are escaped as in manifests."""
    match entry:
        case File(path, mode, mtime, size):
            return _listing_line(stat.filemode(stat.S_IFREG | mode), size, mtime, encode_text(path))
        case Directory(path, mode, mtime):
            return _listing_line(
                stat.filemode(stat.S_IFDIR | mode), 0, mtime, f"{encode_text(path)}/"
            )
        case Symlink(path, target, mtime):
            name = f"{encode_text(path)} -> {encode_text(target)}"
            return _listing_line("lrwxrwxrwx", 0, mtime, name)
        case HardLink(path, target):
            name = f"{encode_text(path)} = {encode_text(target)}"
            return f"{'hardlink':10}  {'':>12}  {'':19}  {name}"
        case _:
            assert_never(entry)


def _listing_line(mode: str, size: int, mtime: int, name: str) -> str:
    try:
        time = format_timestamp(mtime)[:19].replace("T", " ")
    except ValueError:
        time = format_mtime(mtime)
    return f"{mode:10}  {size:>12}  {time:19}  {name}"


def entries_json(generation: int, entries: Iterable[Entry]) -> str:
    """Format entries as one object; each is as in a manifest."""
    return _dumps(
        {
            "generation": generation,
            "entries": [orjson.loads(encode_entry(entry)) for entry in entries],
        }
    )


def verify_text(result: VerifyResult) -> Iterable[str]:
    """Yield what was read, then each damaged object with the generations and paths it affects."""
    yield (
        f"{len(result.generations)} generations, {result.objects} objects, "
        f"{size_text(result.size)} read: {len(result.damaged)} damaged"
    )
    for damage in result.damaged:
        yield f"{damage.key}: {damage.reason}"
        yield f"  generations: {', '.join(map(str, damage.generations))}"
        yield f"  paths: {_paths_text(damage)}"


def _paths_text(damage: DamagedObject) -> str:
    if not damage.paths:
        return "all of these generations" if damage.key.startswith("manifests/") else "none"
    shown = ", ".join(encode_text(path) for path in damage.paths[:_MAX_EXAMPLES])
    more = len(damage.paths) - _MAX_EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown


def verify_json(result: VerifyResult) -> str:
    """Format what was read and what is damaged as one object."""
    return _dumps(
        {
            "generations": list(result.generations),
            "objects": result.objects,
            "bytes": result.size,
            "damaged": [
                {
                    "key": damage.key,
                    "reason": damage.reason,
                    "generations": list(damage.generations),
                    "paths": [encode_text(path) for path in damage.paths],
                }
                for damage in result.damaged
            ],
        }
    )


def gc_text(result: GcResult, *, is_deleting: bool) -> Iterable[str]:
    """Yield what a collection did, or would do."""
    verb = "deleted" if is_deleting else "would delete"
    for listed in result.deleted:
        yield f"{verb} {listed.key} ({size_text(listed.size)})"
    waiting = _not_deleted(result)
    yield f"{len(result.kept)} generations kept, {len(result.expired)} expired"
    yield f"{verb} {len(result.deleted)} objects, {size_text(_total_size(result.deleted))}"
    yield (
        f"{len(waiting)} more objects are not needed, {size_text(_total_size(waiting))}: "
        "they are deleted after the grace period"
    )
    if not is_deleting:
        yield "nothing was written: give --delete to mark and delete"


def gc_json(result: GcResult, *, is_deleting: bool) -> str:
    """Format what a collection did, or would do, as one object."""
    return _dumps(
        {
            "deleting": is_deleting,
            "kept": list(result.kept),
            "leaving": list(result.expired),
            "deleted": [_object_json(listed) for listed in result.deleted],
            "waiting": [_object_json(listed) for listed in _not_deleted(result)],
        }
    )


def _not_deleted(result: GcResult) -> Sequence[ListedObject]:
    deleted = {listed.key for listed in result.deleted}
    return [listed for listed in result.unneeded if listed.key not in deleted]


def _object_json(listed: ListedObject) -> dict[str, Any]:
    return {"key": listed.key, "bytes": listed.size}


def _total_size(objects: Iterable[ListedObject]) -> int:
    return sum(listed.size for listed in objects)


def _dumps(value: dict[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
