"""The one door through which everything passes that people, files or logs get to see."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT, Cause, Drift, FieldChange
from reconcile.core.fields.field_path import Item, Member, Segment
from reconcile.core.mask.known_secrets import Vault, secret_names
from reconcile.core.mask.objects import (
    Hider,
    Learner,
    Place,
    Walk,
    locate,
    named,
    path_segments,
    pointer_segments,
)
from reconcile.core.mask.text import hide, make_finder
from reconcile.core.model import KubeObject, ObjectRef

_LISTS: Final = frozenset({"env", "args", "command", "httpHeaders"})
"""Lists in which a position alone does not tell whether an entry is a secret."""


class Masker:
    """Hides secrets: an equal value gets an equal mark, whatever its length.

    Made once per pass, or per output: it keeps the values that it has learned, to recognise them
    where nothing but their equality gives them away, as in the text of an API error. So learn first
    and show then. `globs` are further names, from the policy. Safe to use from several threads.
    """

    def __init__(self, globs: Iterable[str] = ()) -> None:
        self._is_secret = secret_names(globs)
        self._vault = Vault()
        self._find = make_finder(self._is_secret)
        learner = Learner(self._is_secret, self._vault, self._find)
        self._learning = Walk(self._is_secret, learner)
        self._hiding = Walk(self._is_secret, Hider(self._vault, self.text))

    def learn(self, obj: Any) -> None:
        """Remember the secrets of an object, manifest or session spec."""
        self._learning.over(obj, Place.OPEN)

    def object(self, obj: KubeObject) -> KubeObject:
        """Copy an object with its secrets hidden."""
        return self._shown(obj, Place.OPEN)  # type: ignore[no-any-return]

    def value(self, name: str, value: Any) -> Any:
        """Hide what is secret in a value to which people gave this name, such as a variable's."""
        return self._shown(value, named(name, self._is_secret))

    def text(self, text: str) -> str:
        """Hide the secrets in free text: known values, and what looks like one."""
        masked = hide(text, self._vault, self._find)
        while masked != text:
            # Marks may bring parts together that look like a secret only now.
            text, masked = masked, hide(masked, self._vault, self._find)
        return masked

    def change(self, ref: ObjectRef, change: FieldChange) -> FieldChange:
        """Hide what is secret before and after; that it changed is still seen by the marks."""
        segments = path_segments(change.path)
        before, after = (
            value if value is ABSENT else self._at(ref.kind, segments, value)
            for value in (change.before, change.after)
        )
        if before == after and change.before != change.after:
            after = self._vault.mark(f"\0not {after}")
        return replace(
            change,
            path=self.text(change.path),
            before=before,
            after=after,
            cause=self._cause(change.cause),
            at=tuple(map(self._segment, change.at)),
        )

    def learn_change(self, ref: ObjectRef, change: FieldChange) -> None:
        """Remember the secrets in a field change of the object `ref`."""
        segments = path_segments(change.path)
        for value in (change.before, change.after):
            if value is not ABSENT:
                self._learning.over(value, locate(ref.kind, segments, value, self._is_secret))

    def operation(self, ref: ObjectRef, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Hide the value of a JSON Patch operation on the object `ref`.

        The path has positions where names would be needed, so learn the manifest and the field
        changes first: then the value is recognised.
        """
        shown = {
            key: self.text(value) if isinstance(value, str) else value
            for key, value in operation.items()
            if key != "value"
        }
        if "value" not in operation:
            return shown
        segments = pointer_segments(str(operation.get("path", "")))
        return shown | {"value": self._at(ref.kind, segments, operation["value"])}

    def _at(self, kind: str, segments: tuple[str, ...], value: Any) -> Any:
        if isinstance(value, str) and _is_unnamed(segments) and self._vault.is_sealed(value):
            return self._shown(value, Place.SPOKEN_OF)
        return self._shown(value, locate(kind, segments, value, self._is_secret))

    def _shown(self, value: Any, place: Place) -> Any:
        self._learning.over(value, place)
        return self._hiding.over(value, place)

    def _segment(self, segment: Segment) -> Segment:
        match segment:
            case str():
                return self.text(segment)
            case Item(keys):
                return Item(tuple((name, self._scalar(value)) for name, value in keys))
            case Member(value):
                return Member(self._scalar(value))
            case _:
                assert_never(segment)

    def _scalar(self, value: Any) -> Any:
        return self.text(value) if isinstance(value, str) else value

    def _cause(self, cause: Cause) -> Cause:
        if isinstance(cause, Drift):
            return Drift(manager=self.text(cause.manager), time=self.text(cause.time))
        return cause


def _is_unnamed(segments: tuple[str, ...]) -> bool:
    by_position = any(segment.strip("[]").isdecimal() for segment in segments)
    return by_position and not _LISTS.isdisjoint(segments)
