"""The records that garbage collection leaves below `gc/`, as JSON and back."""

from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import ManifestRef
from reconcile.mirror.snapshot import fields, refs, times
from reconcile.mirror.snapshot.fields import Json
from reconcile.mirror.snapshot.keys import FORMAT, is_ours
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
        "history": [refs.ref_json(ref) for ref in record.history],
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
        value = fields.parse_object(data)
        refs.check_format(value)
        fields.require(value, _FIELDS)
        return Record(
            fields.converted(value, "time", times.parse_stamp),
            tuple(map(refs.parse_ref, fields.sequence(value, "history"))),
            tuple(map(_dead, fields.sequence(value, "dead"))),
        )
    except UnknownFormatError:
        raise
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"a record of garbage collection is damaged: {error}") from None


def _dead(value: Any) -> Listed:
    dead: Json = fields.nested(value, "dead")
    fields.require(dead, _DEAD)
    key = fields.text(dead, "key")
    if not is_ours(key):
        raise ValueError(f"`key` {key[:100]!r} is none that may be deleted")
    modified = dead["modified"]
    if type(modified) not in {int, float}:
        raise ValueError("`modified` is no number")
    return Listed(key, fields.integer(dead, "size"), float(modified))
