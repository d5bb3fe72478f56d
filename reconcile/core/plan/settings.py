"""What changes in the settings of a tree: policy, defaults, project files and templates.

Such a change can remove a guard without changing any object, so it is reported by itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconcile.core.canonical_json import encode_canonical
from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.fields.field_path import FieldPath, format_path


@dataclass(frozen=True, slots=True)
class FieldSetting:
    """A field of a settings file that changes; of a list, only the items that differ."""

    file: str
    change: FieldChange


@dataclass(frozen=True, slots=True)
class WholeFile:
    """A template that changes, or a settings file of which no field can be compared.

    `event` is `added`, `removed` or `changed`.
    """

    file: str
    event: str


SettingChange = FieldSetting | WholeFile


def compare_settings(file: str, before: Any, after: Any) -> Iterator[FieldSetting]:
    """Yield the fields in which two documents differ; None is a missing document."""
    for path, old, new in _differences((), before or {}, after or {}):
        change = FieldChange(format_path(path), old, new, InPlace(), Commit(), path)
        yield FieldSetting(file, change)


def compare_files(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[WholeFile]:
    """Yield the templates that differ."""
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield WholeFile(name, "added")
        elif name not in after:
            yield WholeFile(name, "removed")
        elif before[name] != after[name]:
            yield WholeFile(name, "changed")


def _differences(path: FieldPath, old: Any, new: Any) -> Iterator[tuple[FieldPath, Any, Any]]:
    if {type(side) for side in (old, new)} <= {dict, type(ABSENT)}:
        yield from _compare_mappings(path, old, new)
    elif _is_list(old) and _is_list(new):
        removed, added = _missing_items(old, new), _missing_items(new, old)
        if removed or added:
            yield path, removed or ABSENT, added or ABSENT
        elif old != new:
            yield path, old, new
    elif old != new:
        yield path, old, new


def _compare_mappings(path: FieldPath, old: Any, new: Any) -> Iterator[tuple[FieldPath, Any, Any]]:
    before, after = ({} if side is ABSENT else side for side in (old, new))
    for key in sorted(before.keys() | after.keys(), key=str):
        sides = (side.get(key) for side in (before, after))
        yield from _differences(
            (*path, str(key)), *(ABSENT if side is None else side for side in sides)
        )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _missing_items(items: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Return the items that the other list does not have, as often as it lacks them."""
    left = Counter(map(encode_canonical, others))
    missing = []
    for item in items:
        key = encode_canonical(item)
        if left[key]:
            left[key] -= 1
        else:
            missing.append(item)
    return missing
