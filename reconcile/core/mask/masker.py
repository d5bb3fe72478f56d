"""The only module through which data is masked before it is printed, stored or logged."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, assert_never

from reconcile.core.changes import ABSENT, Cause, Drift, FieldChange
from reconcile.core.fields.field_path import ListItem, Segment, SetMember
from reconcile.core.mask.known_secrets import (
    SecretNameMatcher,
    SecretRegistry,
    build_secret_name_matcher,
)
from reconcile.core.mask.objects import (
    LearningVisitor,
    MaskingVisitor,
    ObjectWalker,
    Sensitivity,
    classify_path,
    split_field_path,
    split_json_pointer,
    strip_brackets,
)
from reconcile.core.mask.patterns import find_tokens
from reconcile.core.mask.text import (
    SecretFinder,
    build_secret_finder,
    replace_matches,
    replace_secrets,
)
from reconcile.core.model import KubeObject, ObjectRef

_POSITIONAL_LISTS: Final = frozenset({"env", "args", "command", "httpHeaders"})
"""Lists in which the position of an entry does not say whether it is a secret."""


class Masker:
    """Masks secrets: equal values get equal marks, regardless of their length.

    Create one per pass, or per output: it remembers the values that it has learned and recognises
    them in text that gives no other hint, such as an API error. Therefore learn all objects before
    masking output. `globs` are further secret names, from the policy. Safe to use from several
    threads.
    """

    def __init__(self, globs: Iterable[str] = ()) -> None:
        self._is_secret, self._find = _build_search(tuple(globs))
        self._registry = SecretRegistry()
        self._pending: list[Callable[[], Iterable[Any]]] = []
        learner = LearningVisitor(self._is_secret, self._registry, self._find)
        self._learning = ObjectWalker(self._is_secret, learner)
        self._declaring = ObjectWalker(self._is_secret, replace(learner, is_declared=True))
        self._hiding = ObjectWalker(
            self._is_secret, MaskingVisitor(self._registry, self.mask_text, self.mask_name)
        )

    def learn(self, obj: Any) -> None:
        """Remember the secrets of an object, manifest or session spec."""
        self._learning.walk(obj, Sensitivity.STRUCTURE)

    def learn_later(self, source: Callable[[], Iterable[Any]]) -> None:
        """Learn all objects of a source before the next value is masked, if one ever is."""
        self._pending.append(source)

    def _learn_pending(self) -> None:
        while self._pending:
            for obj in self._pending.pop()():
                is_rendered = isinstance(obj, Mapping) and obj.get("kind") == "Secret"
                walker = self._learning if is_rendered else self._declaring
                walker.walk(obj, Sensitivity.STRUCTURE)

    def knows_secrets(self) -> bool:
        """Whether anything that was learned, or is to be, has a secret."""
        self._learn_pending()
        return self._registry.knows_secrets

    def mask_object(self, obj: KubeObject) -> KubeObject:
        """Return a copy of an object with its secrets masked."""
        return self._mask(obj, Sensitivity.STRUCTURE)  # type: ignore[no-any-return]

    def mask_digest(self, digest: str) -> str:
        """Mask a digest of what may contain a secret, so that no value can be tried with it."""
        self._learn_pending()
        is_revealing = self._registry.is_revealing_digest(digest)
        return self._registry.mark_of(digest) if is_revealing else digest

    def mask_text(self, text: str) -> str:
        """Mask the secrets in free text: known values, and what looks like a secret."""
        self._learn_pending()
        masked = replace_secrets(text, self._registry, self._find)
        while masked != text:
            # A mark can turn the text around it into something that looks like a secret.
            text, masked = masked, replace_secrets(masked, self._registry, self._find)
        return masked

    def mask_name(self, name: str) -> str:
        """Mask the name of a field, key or object: only what has the format of a token."""
        return replace_matches(name, (), find_tokens(name), self._registry)

    def mask_change(self, ref: ObjectRef, change: FieldChange) -> FieldChange:
        """Mask the secrets before and after; different marks still show that the value changed."""
        segments = split_field_path(change.path)
        before, after = (
            value if value is ABSENT else self._mask_at(ref.kind, segments, value)
            for value in (change.before, change.after)
        )
        if before == after and change.before != change.after:
            after = self._registry.mark_of(f"\0not {after}")
        return replace(
            change,
            path=self.mask_name(change.path),
            before=before,
            after=after,
            cause=self._mask_cause(change.cause),
            field_path=tuple(map(self._mask_segment, change.field_path)),
        )

    def learn_change(self, ref: ObjectRef, change: FieldChange) -> None:
        """Remember the secrets in a field change of the object `ref`."""
        segments = split_field_path(change.path)
        for name in (*map(strip_brackets, segments), ref.kind, ref.namespace, ref.name):
            self._registry.add_open(name)
        for value in (change.before, change.after):
            if value is not ABSENT:
                self._learning.walk(
                    value, classify_path(ref.kind, segments, value, self._is_secret)
                )

    def mask_operation(self, ref: ObjectRef, operation: Mapping[str, Any]) -> dict[str, Any]:
        """Mask the value of a JSON Patch operation on the object `ref`.

        The path has positions instead of names, so learn the manifest and the field changes first:
        then the value is recognised.
        """
        masked = {
            key: self.mask_name(value) if isinstance(value, str) else value
            for key, value in operation.items()
            if key != "value"
        }
        if "value" not in operation:
            return masked
        segments = split_json_pointer(str(operation.get("path", "")))
        return masked | {"value": self._mask_at(ref.kind, segments, operation["value"])}

    def _mask_at(self, kind: str, segments: tuple[str, ...], value: Any) -> Any:
        if (
            isinstance(value, str)
            and _is_unnamed(segments)
            and self._registry.is_exact_secret(value)
        ):
            return self._mask(value, Sensitivity.SECRET_REFERENCE)
        return self._mask(value, classify_path(kind, segments, value, self._is_secret))

    def _mask(self, value: Any, sensitivity: Sensitivity) -> Any:
        self._learn_pending()
        self._learning.walk(value, sensitivity)
        return self._hiding.walk(value, sensitivity)

    def _mask_segment(self, segment: Segment) -> Segment:
        match segment:
            case str():
                return self.mask_name(segment)
            case ListItem(keys):
                masked = ((name, self._mask_key(value)) for name, value in keys)
                return ListItem(tuple(masked))
            case SetMember(value):
                return SetMember(self.mask_text(value) if isinstance(value, str) else value)
            case _:
                assert_never(segment)

    def _mask_key(self, value: Any) -> Any:
        return self.mask_name(value) if isinstance(value, str) else value

    def _mask_cause(self, cause: Cause) -> Cause:
        if isinstance(cause, Drift):
            return Drift(manager=self.mask_text(cause.manager), time=self.mask_text(cause.time))
        return cause


@lru_cache(maxsize=8)
def _build_search(globs: tuple[str, ...]) -> tuple[SecretNameMatcher, SecretFinder]:
    """Build what finds secrets in names and texts; maskers with equal patterns share its caches."""
    is_secret = build_secret_name_matcher(globs)
    return is_secret, build_secret_finder(is_secret)


def _is_unnamed(segments: tuple[str, ...]) -> bool:
    by_position = any(segment.strip("[]").isdecimal() for segment in segments)
    return by_position and not _POSITIONAL_LISTS.isdisjoint(segments)
