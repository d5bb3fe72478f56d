"""Free text with its secrets replaced by marks."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from reconcile.core.mask.known_secrets import Found, Vault
from reconcile.core.mask.marks import mark_spans
from reconcile.core.mask.names import IsSecret
from reconcile.core.mask.patterns import Hit, shaped
from reconcile.core.mask.text import assigned

Finder: TypeAlias = Callable[[str], tuple[Hit, ...]]

_SHORT: Final = 256
_Span: TypeAlias = tuple[int, int]


def make_finder(is_secret: IsSecret) -> Finder:
    """Make the search for what looks like a secret or is assigned to a secret name.

    Short texts are searched once, since those of many objects repeat.
    """

    def find(text: str) -> tuple[Hit, ...]:
        return (*shaped(text), *assigned(text, is_secret))

    cached = lru_cache(maxsize=8192)(find)
    return lambda text: cached(text) if len(text) <= _SHORT else find(text)


def hide(text: str, vault: Vault, find: Finder) -> str:
    """Replace all that is known or looks like a secret; marks that are there stay."""
    found = [*vault.find(text), *_found(text, vault, find(text))]
    if not found:
        return text
    marks = mark_spans(text)
    outside = [item for item in found if not _is_within(item, marks)]
    touched = {span for item in outside for span in _overlapped(item, marks)}
    # A mark that is hit in part goes with the hit, or half a mark would be left.
    whole = [Found(start, end, text[start:end]) for start, end in touched]
    return _replace(text, _merge([*outside, *whole]), vault)


def _found(text: str, vault: Vault, hits: Iterable[Hit]) -> list[Found]:
    return [Found(hit.start, hit.end, vault.canonical(text[hit.start : hit.end])) for hit in hits]


def _overlapped(item: Found, marks: list[_Span]) -> list[_Span]:
    first = bisect_right(marks, item.start, key=lambda span: span[1])
    return marks[first : bisect_left(marks, item.end, key=lambda span: span[0])]


def _is_within(item: Found, marks: list[_Span]) -> bool:
    return any(
        start <= item.start and item.end <= end for start, end in _overlapped(item, marks)[:1]
    )


def _merge(found: list[Found]) -> list[list[Found]]:
    """Group what overlaps."""
    groups: list[list[Found]] = []
    reach = 0
    for item in sorted(found, key=lambda item: (item.start, -item.end)):
        if not groups or item.start >= reach:
            groups.append([])
        groups[-1].append(item)
        reach = max(reach, item.end)
    return groups


def _replace(text: str, groups: list[list[Found]], vault: Vault) -> str:
    parts: list[str] = []
    done = 0
    for group in groups:
        start, end = group[0].start, max(item.end for item in group)
        whole = (item.value for item in group if (item.start, item.end) == (start, end))
        parts += text[done:start], vault.mark(next(whole, text[start:end]))
        done = end
    return "".join((*parts, text[done:]))
