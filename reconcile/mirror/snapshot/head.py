"""What HEAD and the headers of manifests have in common, as JSON and back."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import Completeness, ManifestRef, Missing, Whole, Writer
from reconcile.mirror.snapshot import strict_json
from reconcile.mirror.snapshot.keys import FORMAT, is_digest, manifest_key
from reconcile.mirror.snapshot.strict_json import Json

_REF: Final = frozenset({"generation", "key", "sha256", "size"})
_WRITER: Final = frozenset({"uid", "epoch", "name"})
_MISSING: Final = frozenset({"files", "bytes"})
_FAMILY: Final = FORMAT.rpartition("/")[0]


def check_format(value: Json) -> None:
    """Refuse what another version wrote.

    Raises:
        UnknownFormatError: It says a format of ours that is not this one.
        DamagedError: It says no format of ours.
    """
    found = value.get("format")
    if found == FORMAT:
        return
    if isinstance(found, str) and found.startswith(f"{_FAMILY}/"):
        raise UnknownFormatError(
            f"it was written in format {found[:100]!r} and this version reads {FORMAT!r} alone: "
            "use the version of reconcile-mirror that wrote it, or a newer one"
        )
    raise DamagedError(f"it does not say that its format is {FORMAT!r}")


def ref_json(ref: ManifestRef) -> dict[str, Any]:
    """Write the reference to a manifest."""
    return {
        "generation": ref.generation,
        "key": ref.key,
        "sha256": ref.digest,
        "size": ref.size,
    }


def parse_ref(value: Any) -> ManifestRef:
    """Read the reference to a manifest; ValueError for a bad one."""
    ref = strict_json.nested(value, "manifest")
    strict_json.require(ref, _REF)
    generation = strict_json.integer(ref, "generation", 1)
    digest = parse_digest(ref)
    if strict_json.text(ref, "key") != manifest_key(generation, digest):
        raise ValueError("`key` is not that of this generation and digest")
    return ManifestRef(generation, ref["key"], digest, strict_json.integer(ref, "size", 1))


def parse_chain(values: Sequence[Any]) -> tuple[ManifestRef, ...]:
    """Read references whose generations grow; ValueError for others."""
    chain = tuple(parse_ref(value) for value in values)
    if any(a.generation >= b.generation for a, b in pairwise(chain)):
        raise ValueError("`chain` is not in the order of generations")
    return chain


def parse_digest(value: Json) -> str:
    """Read the field `sha256`; ValueError for a bad one."""
    digest = strict_json.text(value, "sha256")
    if not is_digest(digest):
        raise ValueError("`sha256` is no SHA-256 in lower-case hexadecimal")
    return digest


def writer_json(writer: Writer) -> dict[str, Any]:
    """Write who may commit."""
    return {"uid": writer.uid, "epoch": writer.epoch, "name": writer.name}


def parse_writer(value: Any) -> Writer:
    """Read who may commit; ValueError for a bad one."""
    writer = strict_json.nested(value, "writer")
    strict_json.require(writer, _WRITER)
    return Writer(
        strict_json.text(writer, "uid"),
        strict_json.integer(writer, "epoch"),
        strict_json.text(writer, "name"),
    )


def partial_json(completeness: Completeness) -> dict[str, int] | None:
    """Write what a generation lacks: null if nothing."""
    match completeness:
        case Whole():
            return None
        case Missing(files, size):
            return {"files": files, "bytes": size}


def parse_partial(value: Any) -> Completeness:
    """Read what a generation lacks; ValueError for a bad value."""
    if value is None:
        return Whole()
    missing = strict_json.nested(value, "partial")
    strict_json.require(missing, _MISSING)
    return Missing(strict_json.integer(missing, "files"), strict_json.integer(missing, "bytes"))
