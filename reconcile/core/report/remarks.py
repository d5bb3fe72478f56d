"""Words what a container, a node or the server wrote: one line, masked and escaped.

A termination message can be any text of up to 4 KiB: words, the end of a log, or JSON. Of JSON only
what people read is kept. The mirror's own message, with the outcome of the last flush, gets words.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.messages import word_flush
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import escape_line, truncate_text

_MAX_WIDTH: Final = 300
_HEAD_WIDTH: Final = 200
_TAIL_WIDTH: Final = 100
_MAX_WORD_WIDTH: Final = 80
_MAX_DEPTH: Final = 4
_MAX_ITEMS: Final = 20
_LINE_SEPARATOR: Final = " | "


def format_remark(remark: Remark, masker: Masker) -> str:
    """Format a remark as one masked line."""
    text = _to_one_line(remark.text, masker)
    output = _to_one_line(_word_output(remark.output, masker), masker)
    return ": ".join(filter(None, (text, output)))


def format_word(word: str, masker: Masker) -> str:
    """Format a reason or another single word."""
    return truncate_text(escape_line(_collapse(masker.mask_text(word))), _MAX_WORD_WIDTH)


def _to_one_line(text: str, masker: Masker) -> str:
    # A secret is recognised in the text as written; the second look finds what was on two lines.
    lines = [_collapse(line) for line in masker.mask_text(text).splitlines()]
    joined = masker.mask_text(_LINE_SEPARATOR.join(filter(None, lines)))
    return _shorten(escape_line(joined))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _shorten(text: str) -> str:
    """Cut the middle of a long line; of several lines keep the last, since errors come last."""
    *before, last = text.split(_LINE_SEPARATOR)
    is_long = len(last) > _MAX_WIDTH
    shown = f"{last[:_HEAD_WIDTH]} … {last[-_TAIL_WIDTH:]}" if is_long else last
    while before and len(before[-1]) + len(shown) < _MAX_WIDTH:
        shown = f"{before.pop()}{_LINE_SEPARATOR}{shown}"
    return f"…{_LINE_SEPARATOR}{shown}" if before else shown


def _word_output(output: str, masker: Masker) -> str:
    """Return the words of an output, which may still contain secrets and line breaks."""
    document = _find_document(output)
    if document is None:
        return output
    # Names of secrets are recognised in JSON, so it is masked before it becomes words.
    masked = masker.mask_text(orjson.dumps(_prune(document)).decode())
    parsed = _parse(masked)
    return masked if parsed is None else _word_value(parsed)


def _find_document(output: str) -> Any:
    """Return the JSON of an output: the whole, or the last error in a log of JSON lines, or None.

    A log counts if its last line is JSON.
    """
    document = _parse(output)
    if document is not None:
        return document
    parsed = [_parse(line) for line in output.splitlines() if line.strip()]
    events = [each for each in parsed if isinstance(each, dict)]
    if not events or parsed[-1] is not events[-1]:
        return None
    errors = [each for each in events if str(each.get("level")).lower() in _ERROR_LEVELS]
    return (errors or events)[-1]


_ERROR_LEVELS: Final = frozenset({"critical", "error", "fatal", "panic"})


def _parse(text: str) -> Any:
    """Parse an object or an array; None for any other text."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _prune(value: Any, depth: int = 0) -> Any:
    """Copy a document without what is deep, and with texts instead of numbers."""
    if isinstance(value, dict | list) and depth == _MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        items = list(value.items())[:_MAX_ITEMS]
        return {key: _prune(item, depth + 1) for key, item in items}
    if isinstance(value, list):
        return [_prune(item, depth + 1) for item in value[:_MAX_ITEMS]]
    return value if isinstance(value, str) else orjson.dumps(value).decode()


_EVENT_KEYS: Final = ("event", "message", "msg")
_CAUSE_KEYS: Final = ("error", "err", "exception", "detail", "details", "reason")


def _word_value(value: Any) -> str:
    match value:
        case dict():
            return word_flush(value) or _word_event(value) or _word_pairs(value)
        case list():
            return ", ".join(map(_word_value, value))
        case _:
            return str(value)


def _word_event(event: Mapping[str, Any]) -> str:
    """Word an event of a log: what happened, and why."""
    parts = (_first_words(event, keys) for keys in (_EVENT_KEYS, _CAUSE_KEYS))
    return ": ".join(filter(None, parts))


def _first_words(event: Mapping[str, Any], keys: Iterable[str]) -> str:
    words = (_word_value(event[key]) for key in keys if key in event)
    return next(filter(None, words), "")


def _word_pairs(document: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_word_value(value)}" for key, value in document.items())
