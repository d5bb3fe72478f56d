"""What only the merged settings of a session can contradict."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.spec.gitnames import folder

_MIRROR_BASE: Final = 128 * 2**20
_MIRROR_FILE: Final = 1536
"""Bytes of memory that a mirror takes, and for each file: measured, with names of 100 letters."""

_OWN_STORAGE: Final = ("secretName", "bucket", "endpoint", "region")


def contradictions(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that cannot be used for another one's sake."""
    found = list(_beyond_limits(spec, "runner"))
    if spec["storage"]["mode"] != "none":
        found += [*_storage(spec["storage"]), *_mirror(spec), *_beyond_limits(spec, "mirror")]
    return found


def doubts(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that will not do what its author may believe."""
    found = [*_same_folders(spec["repos"]), *_unused_storage(spec["storage"])]
    if spec["storage"]["mode"] != "none":
        found += _too_little_memory(spec["mirror"])
    return found


def _beyond_limits(spec: Mapping[str, Any], container: str) -> Iterator[tuple[str, str]]:
    resources = spec[container]["resources"]
    limits = resources["limits"]
    for name, amount in resources["requests"].items():
        if name in limits and _value(amount) > _value(limits[name]):
            place = f"spec.{container}.resources.requests.{name}"
            yield place, "is more than the limit that holds here"


def _storage(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """One Secret never stands in for the other, and a shared one is used by name alone."""
    own, shared = storage["secretName"], storage["sharedSecretName"]
    if storage["mode"] == "shared" and not shared:
        yield (
            "spec.storage.sharedSecretName",
            "is missing: `mode: shared` needs the installation's Secret by name, in defaults.yaml",
        )
    if storage["mode"] == "custom" and not own:
        yield (
            "spec.storage.secretName",
            "is missing: `mode: custom` needs a Secret of one's own; the shared one is not used",
        )
    if storage["mode"] == "custom" and own and own == shared:
        yield "spec.storage.secretName", "is the installation's Secret: write `mode: shared`"


def _mirror(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    mirror = spec["mirror"]
    if not mirror["image"]:
        yield (
            "spec.mirror.image",
            "is missing: a workspace that is kept needs the image with `reconcile-mirror`",
        )
    if mirror["port"] == spec["runner"]["port"]:
        yield "spec.mirror.port", "is the runner's port, too: choose another one"


def _too_little_memory(mirror: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    files, limit = mirror["maxFiles"], mirror["resources"]["limits"]["memory"]
    needed = _MIRROR_BASE + files * _MIRROR_FILE
    if _value(limit) < needed:
        said = f"a workspace of so many may need {-(-needed // 2**20)}Mi of memory"
        yield "spec.mirror.maxFiles", f"is {files}: {said}, and the limit is {limit}"


def _same_folders(repos: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    first: dict[str, int] = {}
    for index, repo in enumerate(repos):
        at = first.setdefault(folder(repo["url"]), index)
        if at != index:
            yield f"spec.repos[{index}].url", f"is cloned into the same folder as spec.repos[{at}]"


def _unused_storage(storage: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if storage["mode"] != "custom":
        for name in _OWN_STORAGE:
            if storage[name] is not None:
                yield f"spec.storage.{name}", f"has no effect with `mode: {storage['mode']}`"


def _value(quantity: str) -> Fraction:
    return parse_quantity(quantity) or Fraction()
