"""What HEAD and the headers of manifests have in common, as JSON and back.

The first line of a manifest: which generation it is, and what it stands upon.

The object HEAD as JSON and back.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import orjson
from msgspec import Struct

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Complete,
    Completeness,
    Generation,
    Head,
    ManifestRef,
    Partial,
    Writer,
)
from reconcile.mirror.snapshot import encoding, strict_json
from reconcile.mirror.snapshot.keys import FORMAT, is_digest, manifest_key
from reconcile.mirror.snapshot.strict_json import JsonObject

_REF_FIELDS: Final = frozenset({"generation", "key", "sha256", "size"})
_WRITER_FIELDS: Final = frozenset({"uid", "epoch", "name"})
_PARTIAL_FIELDS: Final = frozenset({"files", "bytes"})
_FORMAT_FAMILY: Final = FORMAT.rpartition("/")[0]


def check_format(value: JsonObject) -> None:
    """Refuse what another version wrote.

    Raises:
        UnknownFormatError: It says a format of ours that is not this one.
        DamagedError: It says no format of ours.
    """
    found = value.get("format")
    if found == FORMAT:
        return
    if isinstance(found, str) and found.startswith(f"{_FORMAT_FAMILY}/"):
        raise UnknownFormatError(
            f"it was written in format {found[:100]!r} and this version reads {FORMAT!r} alone: "
            "use the version of reconcile-mirror that wrote it, or a newer one"
        )
    raise DamagedError(f"it does not say that its format is {FORMAT!r}")


def encode_ref(ref: ManifestRef) -> dict[str, Any]:
    """Write the reference to a manifest."""
    return {
        "generation": ref.generation,
        "key": ref.key,
        "sha256": ref.digest,
        "size": ref.size,
    }


def parse_ref(value: Any) -> ManifestRef:
    """Read the reference to a manifest; ValueError for a bad one."""
    ref = strict_json.check_object(value, "manifest")
    strict_json.require_fields(ref, _REF_FIELDS)
    generation = strict_json.get_integer(ref, "generation", 1)
    digest = parse_sha256_field(ref)
    if strict_json.get_text(ref, "key") != manifest_key(generation, digest):
        raise ValueError("`key` is not that of this generation and digest")
    return ManifestRef(generation, ref["key"], digest, strict_json.get_integer(ref, "size", 1))


def parse_chain(values: Sequence[Any]) -> tuple[ManifestRef, ...]:
    """Read references whose generations grow; ValueError for others."""
    chain = tuple(parse_ref(value) for value in values)
    if any(a.generation >= b.generation for a, b in pairwise(chain)):
        raise ValueError("`chain` is not in the order of generations")
    return chain


def parse_sha256_field(value: JsonObject) -> str:
    """Read the field `sha256`; ValueError for a bad one."""
    digest = strict_json.get_text(value, "sha256")
    if not is_digest(digest):
        raise ValueError("`sha256` is no SHA-256 in lower-case hexadecimal")
    return digest


def encode_writer(writer: Writer) -> dict[str, Any]:
    """Write who may commit."""
    return {"uid": writer.uid, "epoch": writer.epoch, "name": writer.name}


def parse_writer(value: Any) -> Writer:
    """Read who may commit; ValueError for a bad one."""
    writer = strict_json.check_object(value, "writer")
    strict_json.require_fields(writer, _WRITER_FIELDS)
    return Writer(
        strict_json.get_text(writer, "uid"),
        strict_json.get_integer(writer, "epoch"),
        strict_json.get_text(writer, "name"),
    )


def encode_completeness(completeness: Completeness) -> dict[str, int] | None:
    """Write what a generation lacks: null if nothing."""
    match completeness:
        case Complete():
            return None
        case Partial(files, size):
            return {"files": files, "bytes": size}


def parse_completeness(value: Any) -> Completeness:
    """Read what a generation lacks; ValueError for a bad value."""
    if value is None:
        return Complete()
    missing = strict_json.check_object(value, "partial")
    strict_json.require_fields(missing, _PARTIAL_FIELDS)
    return Partial(
        strict_json.get_integer(missing, "files"), strict_json.get_integer(missing, "bytes")
    )


_COMPLETE: Final = Complete()
_HEADER_FIELDS: Final = frozenset(
    {"format", "kind", "generation", "time", "partial", "writer", "parent", "chain"}
)


class ManifestHeader(Struct, frozen=True):
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
    completeness: Completeness = _COMPLETE

    @property
    def is_base(self) -> bool:
        """Whether it holds a whole tree; else it holds what has changed since its parent."""
        return not self.chain


def encode_header(header: ManifestHeader) -> bytes:
    """Write a header; ValueError if its time is none of four-digit years."""
    parent = header.parent
    value: dict[str, Any] = {
        "format": FORMAT,
        "kind": "base" if header.is_base else "delta",
        "generation": header.generation,
        "time": encoding.format_timestamp(header.time),
        "partial": encode_completeness(header.completeness),
        "writer": encode_writer(header.writer),
        "parent": None if parent is None else encode_ref(parent),
        "chain": [encode_ref(ref) for ref in header.chain],
    }
    return orjson.dumps(value) + b"\n"


def parse_header(value: JsonObject) -> ManifestHeader:
    """Read a header.

    Raises:
        UnknownFormatError: Another version wrote it.
        DamagedError: It says no format of ours.
        ValueError: It is malformed.
    """
    check_format(value)
    strict_json.require_fields(value, _HEADER_FIELDS)
    parent = value["parent"]
    header = ManifestHeader(
        strict_json.get_integer(value, "generation", 1),
        strict_json.get_converted(value, "time", encoding.parse_timestamp),
        parse_writer(value["writer"]),
        None if parent is None else parse_ref(parent),
        parse_chain(strict_json.get_list(value, "chain")),
        parse_completeness(value["partial"]),
    )
    check_header(header)
    if value["kind"] != ("base" if header.is_base else "delta"):
        raise ValueError("`kind` does not fit its `chain`: a base has none, a delta has one")
    return header


def check_header(header: ManifestHeader) -> None:
    """Raise ValueError unless generations grow along what a manifest stands upon."""
    parent = header.parent
    if parent is not None and parent.generation >= header.generation:
        raise ValueError("`parent` is no earlier generation")
    if header.chain and header.chain[-1] != parent:
        raise ValueError("`chain` does not end with its `parent`")


MAX_HEAD: Final = 1 << 20
"""A HEAD with more bytes is none of ours."""

_HEAD_FIELDS: Final = frozenset({"format", "generation", "time", "partial", "chain", "writer"})


def encode_head(head: Head) -> bytes:
    """Write HEAD; equal values give equal bytes."""
    generation = head.generation
    value: dict[str, Any] = {
        "format": FORMAT,
        "generation": generation.number,
        "time": encoding.format_timestamp(generation.time),
        "partial": encode_completeness(generation.completeness),
        "chain": [encode_ref(ref) for ref in generation.chain],
        "writer": encode_writer(head.writer),
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
        check_format(value)
        return _parse_head(value)
    except (ValueError, DamagedError) as error:
        raise DamagedError(f"HEAD is damaged: {error}") from None


def _parse_head(value: JsonObject) -> Head:
    strict_json.require_fields(value, _HEAD_FIELDS)
    number = strict_json.get_integer(value, "generation")
    chain = parse_chain(strict_json.get_list(value, "chain"))
    if (chain[-1].generation if chain else 0) != number:
        raise ValueError("`chain` does not end with its generation")
    generation = Generation(
        number,
        strict_json.get_converted(value, "time", encoding.parse_timestamp),
        chain,
        parse_completeness(value["partial"]),
    )
    return Head(generation, parse_writer(value["writer"]))
