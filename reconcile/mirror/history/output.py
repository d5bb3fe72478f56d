"""What the commands on history print, as text for people and as JSON."""

import stat
from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

import orjson

from reconcile.mirror.history.gc import Collected
from reconcile.mirror.history.log import Told, Untold
from reconcile.mirror.history.verify import Damage, Verified
from reconcile.mirror.model import Directory, Entry, File, HardLink, Missing, Symlink
from reconcile.mirror.snapshot.encoding import encode_text, mtime_text, stamp_text
from reconcile.mirror.snapshot.entries import entry_line
from reconcile.mirror.snapshot.head import partial_json, writer_json
from reconcile.mirror.store.port import Listed

_KIBI: Final = 1024
_EXAMPLES: Final = 5
_LETTERS: Final = "BKMGT"


def size_text(size: int) -> str:
    """Write bytes for people, such as `1.5M`."""
    value, place = float(size), 0
    while value >= _KIBI and place < len(_LETTERS) - 1:
        value, place = value / _KIBI, place + 1
    return f"{size}B" if not place else f"{value:.1f}{_LETTERS[place]}"


def log_text(told: Iterable[Told | Untold]) -> Iterable[str]:
    """Yield a line for each generation."""
    yield f"{'GENERATION':>10}  {'TIME':30}  {'STATE':8}  {'FILES':>8}  {'CHANGED':>20}  WRITER"
    for one in told:
        match one:
            case Untold(number, time, reason):
                yield f"{number:>10}  {stamp_text(time):30}  damaged   {reason}"
            case Told():
                yield _told_text(one)


def _told_text(told: Told) -> str:
    state = "partial" if isinstance(told.completeness, Missing) else "whole"
    change = f"{told.change.files} files, {size_text(told.change.size)}"
    if told.change.gone:
        change += f", -{told.change.gone}"
    name = encode_text(told.writer.name or told.writer.uid)
    return (
        f"{told.number:>10}  {stamp_text(told.time):30}  {state:8}  {told.files:>8}  "
        f"{change:>20}  {name} (epoch {told.writer.epoch})"
    )


def log_json(told: Iterable[Told | Untold]) -> str:
    """Write all generations as one object."""
    return _dumps({"generations": [_told_json(one) for one in told]})


def _told_json(told: Told | Untold) -> dict[str, Any]:
    match told:
        case Untold(number, time, reason):
            return {"generation": number, "time": stamp_text(time), "damaged": reason}
        case Told():
            return {
                "generation": told.number,
                "time": stamp_text(told.time),
                "partial": partial_json(told.completeness),
                "files": told.files,
                "bytes": told.size,
                "changed": {
                    "files": told.change.files,
                    "bytes": told.change.size,
                    "gone": told.change.gone,
                },
                "writer": writer_json(told.writer),
            }
        case _:
            assert_never(told)


def entry_text(entry: Entry) -> str:
    """Write an entry as `ls -l` does; names are escaped as in the format."""
    match entry:
        case File(path, mode, mtime, size):
            return _line(stat.filemode(stat.S_IFREG | mode), size, mtime, encode_text(path))
        case Directory(path, mode, mtime):
            return _line(stat.filemode(stat.S_IFDIR | mode), 0, mtime, f"{encode_text(path)}/")
        case Symlink(path, target, mtime):
            name = f"{encode_text(path)} -> {encode_text(target)}"
            return _line("lrwxrwxrwx", 0, mtime, name)
        case HardLink(path, target):
            name = f"{encode_text(path)} = {encode_text(target)}"
            return f"{'hardlink':10}  {'':>12}  {'':19}  {name}"
        case _:
            assert_never(entry)


def _line(mode: str, size: int, mtime: int, name: str) -> str:
    try:
        time = stamp_text(mtime)[:19].replace("T", " ")
    except ValueError:
        time = mtime_text(mtime)
    return f"{mode:10}  {size:>12}  {time:19}  {name}"


def entries_json(generation: int, entries: Iterable[Entry]) -> str:
    """Write entries as one object; each is as in a manifest."""
    return _dumps(
        {
            "generation": generation,
            "entries": [orjson.loads(entry_line(entry)) for entry in entries],
        }
    )


def verified_text(found: Verified) -> Iterable[str]:
    """Yield what was read, and then each damaged object with what it takes away."""
    yield (
        f"{len(found.generations)} generations, {found.objects} objects, "
        f"{size_text(found.size)} read: {len(found.damages)} damaged"
    )
    for damage in found.damages:
        yield f"{damage.key}: {damage.reason}"
        yield f"  generations: {', '.join(map(str, damage.generations))}"
        yield f"  paths: {_paths_text(damage)}"


def _paths_text(damage: Damage) -> str:
    if not damage.paths:
        return "all of these generations" if damage.key.startswith("manifests/") else "none"
    shown = ", ".join(encode_text(path) for path in damage.paths[:_EXAMPLES])
    more = len(damage.paths) - _EXAMPLES
    return f"{shown} and {more} more" if more > 0 else shown


def verified_json(found: Verified) -> str:
    """Write what was read and what is damaged as one object."""
    return _dumps(
        {
            "generations": list(found.generations),
            "objects": found.objects,
            "bytes": found.size,
            "damaged": [
                {
                    "key": damage.key,
                    "reason": damage.reason,
                    "generations": list(damage.generations),
                    "paths": [encode_text(path) for path in damage.paths],
                }
                for damage in found.damages
            ],
        }
    )


def collected_text(found: Collected, *, deleting: bool) -> Iterable[str]:
    """Yield what a collection did, or would do."""
    done = "deleted" if deleting else "would delete"
    for listed in found.deleted:
        yield f"{done} {listed.key} ({size_text(listed.size)})"
    waiting = _left(found)
    yield f"keeps {len(found.kept)} generations, lets {len(found.leaving)} go"
    yield f"{done} {len(found.deleted)} objects, {size_text(_sum(found.deleted))}"
    yield f"{len(waiting)} more are not needed, {size_text(_sum(waiting))}: their time comes later"
    if not deleting:
        yield "nothing was written: give --delete to mark and delete"


def collected_json(found: Collected, *, deleting: bool) -> str:
    """Write what a collection did, or would do, as one object."""
    return _dumps(
        {
            "deleting": deleting,
            "kept": list(found.kept),
            "leaving": list(found.leaving),
            "deleted": [_listed(each) for each in found.deleted],
            "waiting": [_listed(each) for each in _left(found)],
        }
    )


def _left(found: Collected) -> Sequence[Listed]:
    gone = {each.key for each in found.deleted}
    return [each for each in found.unneeded if each.key not in gone]


def _listed(listed: Listed) -> dict[str, Any]:
    return {"key": listed.key, "bytes": listed.size}


def _sum(objects: Iterable[Listed]) -> int:
    return sum(each.size for each in objects)


def _dumps(value: dict[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
