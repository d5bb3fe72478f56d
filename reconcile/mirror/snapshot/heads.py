"""The object HEAD as JSON and back."""

from typing import Any, Final

import orjson

from reconcile.mirror.errors import DamagedError
from reconcile.mirror.model import Generation, Head
from reconcile.mirror.snapshot import head as refs
from reconcile.mirror.snapshot import strict_json, times
from reconcile.mirror.snapshot.keys import FORMAT
from reconcile.mirror.snapshot.strict_json import Json

MAX_HEAD: Final = 1 << 20
"""A HEAD with more bytes is none of ours."""

_FIELDS: Final = frozenset({"format", "generation", "time", "partial", "chain", "writer"})


def encode_head(head: Head) -> bytes:
    """Write HEAD; equal values give equal bytes."""
    generation = head.generation
    value: dict[str, Any] = {
        "format": FORMAT,
        "generation": generation.number,
        "time": times.stamp_text(generation.time),
        "partial": refs.partial_json(generation.completeness),
        "chain": [refs.ref_json(ref) for ref in generation.chain],
        "writer": refs.writer_json(head.writer),
    }
    return orjson.dumps(value) + b"\n"


def decode_head(data: bytes) -> Head:
    """Read HEAD.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It is not what `encode_head` writes.
    """
    if len(data) > MAX_HEAD:
        raise DamagedError(f"HEAD is damaged: it has {len(data)} bytes")
    try:
        value = strict_json.parse_object(data)
        refs.check_format(value)
        return _parse(value)
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"HEAD is damaged: {error}") from None


def _parse(value: Json) -> Head:
    strict_json.require(value, _FIELDS)
    number = strict_json.integer(value, "generation")
    chain = refs.parse_chain(strict_json.sequence(value, "chain"))
    if (chain[-1].generation if chain else 0) != number:
        raise ValueError("`chain` does not end with its generation")
    generation = Generation(
        number,
        strict_json.converted(value, "time", times.parse_stamp),
        chain,
        refs.parse_partial(value["partial"]),
    )
    return Head(generation, refs.parse_writer(value["writer"]))
