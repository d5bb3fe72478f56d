"""The records that garbage collection leaves below `gc/`, as JSON and back."""

from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import ManifestRef
from reconcile.mirror.snapshot import head, strict_json, times
from reconcile.mirror.snapshot.keys import FORMAT, is_ours
from reconcile.mirror.snapshot.strict_json import Json
from reconcile.mirror.store.port import Listed

_FIELDS: Final = frozenset({"format", "time", "history", "dead"})
_DEAD: Final = frozenset({"key", "size", "modified"})


class Record(Struct, frozen=True):
    """What one garbage collection found.

    Attributes:
        time: When it looked, by its own clock, in nanoseconds since 1970.
        history: The manifests of all committed generations that it knew and keeps; they are still
            known when those between them and HEAD are gone.
        dead: What nothing needed.
    """

    time: int
    history: tuple[ManifestRef, ...]
    dead: tuple[Listed, ...]


def encode_record(record: Record) -> bytes:
    """Write a record."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "time": times.stamp_text(record.time),
        "history": [head.ref_json(ref) for ref in record.history],
        "dead": [
            {"key": each.key, "size": each.size, "modified": each.modified} for each in record.dead
        ],
    }
    return orjson.dumps(value) + b"\n"


def decode_record(data: bytes) -> Record:
    """Read a record.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_record` writes.
    """
    try:
        value = strict_json.parse_object(data)
        head.check_format(value)
        strict_json.require(value, _FIELDS)
        return Record(
            strict_json.converted(value, "time", times.parse_stamp),
            tuple(map(head.parse_ref, strict_json.sequence(value, "history"))),
            tuple(map(_dead, strict_json.sequence(value, "dead"))),
        )
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a record of garbage collection is damaged: {error}") from None


def _dead(value: Any) -> Listed:
    dead: Json = strict_json.nested(value, "dead")
    strict_json.require(dead, _DEAD)
    key = strict_json.text(dead, "key")
    if not is_ours(key):
        raise ValueError(f"`key` {key[:100]!r} is none that may be deleted")
    modified = dead["modified"]
    if type(modified) not in {int, float}:
        raise ValueError("`modified` is no number")
    return Listed(key, strict_json.integer(dead, "size"), float(modified))
