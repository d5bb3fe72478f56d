"""HEAD and the headers of manifests as JSON and back.

A header is the first line of a manifest: its generation, and the chain of manifests it builds on.
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
from reconcile.mirror.snapshot.keys import FORMAT, MAX_MANIFEST, is_digest, manifest_key
from reconcile.mirror.snapshot.strict_json import JsonObject

_REF_FIELDS: Final = frozenset({"generation", "key", "sha256", "size"})
_WRITER_FIELDS: Final = frozenset({"uid", "epoch", "name"})
_PARTIAL_FIELDS: Final = frozenset({"files", "bytes"})
_FORMAT_FAMILY: Final = FORMAT.rpartition("/")[0]


def check_format(value: JsonObject) -> None:
    """Reject an object of another format version.

    Raises:
        UnknownFormatError: It has another version of the mirror's format.
        DamagedError: It does not have the mirror's format.
    """
    name = value.get("format")
    if name == FORMAT:
        return
    if isinstance(name, str) and name.startswith(f"{_FORMAT_FAMILY}/"):
        raise UnknownFormatError(
            f"it was written in format {name[:100]!r}, but this version reads only {FORMAT!r}: "
            "use the version of reconcile-mirror that wrote it, or a newer one"
        )
    raise DamagedError(f"it does not say that its format is {FORMAT!r}")


def encode_ref(ref: ManifestRef) -> dict[str, Any]:
    """Encode the reference to a manifest."""
    return {
        "generation": ref.generation,
        "key": ref.key,
        "sha256": ref.digest,
        "size": ref.size,
    }


def parse_ref(value: Any) -> ManifestRef:
    """Parse the reference to a manifest; ValueError if it is malformed."""
    ref = strict_json.check_object(value, "manifest")
    strict_json.require_fields(ref, _REF_FIELDS)
    generation = strict_json.get_integer(ref, "generation", 1)
    digest = parse_sha256_field(ref)
    if strict_json.get_text(ref, "key") != manifest_key(generation, digest):
        raise ValueError("`key` does not match the generation and digest")
    size = strict_json.get_integer(ref, "size", 1)
    if size > MAX_MANIFEST:
        raise ValueError(f"`size` is more than {MAX_MANIFEST} bytes")
    return ManifestRef(generation, ref["key"], digest, size)


def parse_chain(values: Sequence[Any]) -> tuple[ManifestRef, ...]:
    """Parse references in increasing order of generations; ValueError if malformed or unordered."""
    chain = tuple(parse_ref(value) for value in values)
    if any(a.generation >= b.generation for a, b in pairwise(chain)):
        raise ValueError("`chain` is not in the order of generations")
    return chain


def parse_sha256_field(value: JsonObject) -> str:
    """Parse the field `sha256`; ValueError if it is malformed."""
    digest = strict_json.get_text(value, "sha256")
    if not is_digest(digest):
        raise ValueError("`sha256` is not a SHA-256 in lower-case hexadecimal")
    return digest


def encode_writer(writer: Writer) -> dict[str, Any]:
    """Encode the writer: the pod that may commit."""
    return {"uid": writer.uid, "epoch": writer.epoch, "name": writer.name}


def parse_writer(value: Any) -> Writer:
    """Parse the writer: the pod that may commit; ValueError if it is malformed."""
    writer = strict_json.check_object(value, "writer")
    strict_json.require_fields(writer, _WRITER_FIELDS)
    return Writer(
        strict_json.get_text(writer, "uid"),
        strict_json.get_integer(writer, "epoch"),
        strict_json.get_text(writer, "name"),
    )


def encode_completeness(completeness: Completeness) -> dict[str, int] | None:
    """Encode what a generation lacks: null if it is complete."""
    match completeness:
        case Complete():
            return None
        case Partial(files, size):
            return {"files": files, "bytes": size}


def parse_completeness(value: Any) -> Completeness:
    """Parse what a generation lacks; ValueError if it is malformed."""
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
    """The metadata of a manifest.

    Attributes:
        generation: Its number, from 1.
        time: When it was committed, in nanoseconds since 1970.
        writer: The pod that wrote it.
        parent: The last manifest of the previous generation; None if that is the empty workspace.
        chain: The manifests before it in its chain, the base first; empty if it is a base.
        completeness: Whether all files of the workspace could be stored.
    """

    generation: int
    time: int
    writer: Writer
    parent: ManifestRef | None = None
    chain: tuple[ManifestRef, ...] = ()
    completeness: Completeness = _COMPLETE

    @property
    def is_base(self) -> bool:
        """Whether it holds a whole tree; otherwise it holds the changes since its parent."""
        return not self.chain


def encode_header(header: ManifestHeader) -> bytes:
    """Encode a header; ValueError if the year of its time does not have four digits."""
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
    """Parse a header.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: It does not have the mirror's format.
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
        raise ValueError("`kind` does not match `chain`: a base has none, a delta has one")
    return header


def check_header(header: ManifestHeader) -> None:
    """Raise ValueError unless the parent is an earlier generation and ends the chain."""
    parent = header.parent
    if parent is not None and parent.generation >= header.generation:
        raise ValueError("`parent` is not an earlier generation")
    if header.chain and header.chain[-1] != parent:
        raise ValueError("`chain` does not end with its `parent`")


MAX_HEAD: Final = 1 << 20
"""Maximum size of HEAD in bytes."""

_HEAD_FIELDS: Final = frozenset({"format", "generation", "time", "partial", "chain", "writer"})


def encode_head(head: Head) -> bytes:
    """Encode HEAD; equal values give equal bytes."""
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
    """Decode HEAD.

    Raises:
        UnknownFormatError: It has another version of the format.
        DamagedError: It is malformed.
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
