"""The first line of a manifest: which generation it is, and what it stands upon."""

from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.model import Completeness, ManifestRef, Whole, Writer
from reconcile.mirror.snapshot import head, strict_json, times
from reconcile.mirror.snapshot.keys import FORMAT
from reconcile.mirror.snapshot.strict_json import Json

_WHOLE: Final = Whole()
_FIELDS: Final = frozenset(
    {"format", "kind", "generation", "time", "partial", "writer", "parent", "chain"}
)


class Header(Struct, frozen=True):
    """What a manifest says of itself.

    Attributes:
        generation: Its number, from 1 on.
        time: When it was made, in nanoseconds since 1970.
        writer: Who made it.
        parent: The last manifest of the generation before; None if that is the empty workspace.
        chain: The manifests before it in its chain, the base first; empty if it is a base.
        completeness: Whether it is the tree as it was seen.
    """

    generation: int
    time: int
    writer: Writer
    parent: ManifestRef | None = None
    chain: tuple[ManifestRef, ...] = ()
    completeness: Completeness = _WHOLE

    @property
    def is_base(self) -> bool:
        """Whether it holds a whole tree; else it holds what has changed since its parent."""
        return not self.chain


def header_line(header: Header) -> bytes:
    """Write a header; ValueError if its time is none of four-digit years."""
    parent = header.parent
    value: dict[str, Any] = {
        "format": FORMAT,
        "kind": "base" if header.is_base else "delta",
        "generation": header.generation,
        "time": times.stamp_text(header.time),
        "partial": head.partial_json(header.completeness),
        "writer": head.writer_json(header.writer),
        "parent": None if parent is None else head.ref_json(parent),
        "chain": [head.ref_json(ref) for ref in header.chain],
    }
    return orjson.dumps(value) + b"\n"


def parse_header(value: Json) -> Header:
    """Read a header.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It says no format of ours.
        ValueError: It is malformed.
    """
    head.check_format(value)
    strict_json.require(value, _FIELDS)
    parent = value["parent"]
    header = Header(
        strict_json.integer(value, "generation", 1),
        strict_json.converted(value, "time", times.parse_stamp),
        head.parse_writer(value["writer"]),
        None if parent is None else head.parse_ref(parent),
        head.parse_chain(strict_json.sequence(value, "chain")),
        head.parse_partial(value["partial"]),
    )
    check_header(header)
    if value["kind"] != ("base" if header.is_base else "delta"):
        raise ValueError("`kind` does not fit its `chain`: a base has none, a delta has one")
    return header


def check_header(header: Header) -> None:
    """Raise ValueError unless generations grow along what a manifest stands upon."""
    parent = header.parent
    if parent is not None and parent.generation >= header.generation:
        raise ValueError("`parent` is no earlier generation")
    if header.chain and header.chain[-1] != parent:
        raise ValueError("`chain` does not end with its `parent`")
