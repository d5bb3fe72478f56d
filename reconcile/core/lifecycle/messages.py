"""The termination messages of our own containers, in words: `sync`, `prepare` and `bridge`.

A message is one JSON object in the status of a container, but it can be any text. The words are
neither masked nor escaped, and not shortened: half of a secret would not be recognised.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

_MAX_ITEMS: Final = 20


def parse_message(text: str) -> Mapping[str, Any] | None:
    """Parse a termination message; None if it is no JSON object."""
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


_FLUSH_OUTCOMES: Final = {
    "flushed": "everything is stored",
    "partial": "not everything is stored",
    "failed": "the last changes are not stored",
    "late": "the last changes are not stored in time",
    "fenced": "another pod has taken the workspace over",
}
"""The outcomes in the mirror's message, see docs/mirror.md."""


def word_flush(message: Mapping[str, Any]) -> str:
    """Word how the last flush went; empty if it is another message."""
    meaning = _FLUSH_OUTCOMES.get(str(message.get("outcome")))
    if meaning is None or not {"generation", "reason"} <= message.keys():
        return ""
    reason = _to_text(message["reason"])
    said = f"{meaning}: {reason}" if reason else meaning
    missing = _to_text(message.get("missingFiles", 0))
    lacks = f" and lacks {missing} files with {_to_text(message.get('missingBytes'))} bytes"
    return f"{said}; the last generation is {_to_text(message['generation'])}" + (
        "" if missing in {"", "0"} else lacks
    )


def word_preparation(message: Mapping[str, Any]) -> str:
    """Word what is remarkable in the message of `prepare`, failures first; empty if nothing is."""
    return "; ".join(_list_preparation(message))


def _list_preparation(message: Mapping[str, Any]) -> Iterator[str]:
    if problem := _to_text(message.get("problem")):
        yield problem
    for kind, source in _list_sources(message):
        name, reason = _to_text(source.get("name")), _to_text(source.get("reason"))
        if reason or source.get("state") == "failed":
            yield f"{kind} {name}: {reason or 'failed'}"
    if message.get("interruptedRun") is True:
        yield "a run was cut off when its pod ended"
    if moved := _join_texts(message.get("movedAside")):
        yield f"moved aside, since the agent's folders must be there: {moved}"
    if removed := _join_texts(message.get("removedConversations")):
        yield f"the conversation is gone, so that a new one begins: {removed}"


def _list_sources(message: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    workflow = message.get("workflow")
    yield "workflow", workflow if isinstance(workflow, Mapping) else {}
    for each in _items(message.get("repositories")):
        yield "repository", each if isinstance(each, Mapping) else {}


@dataclass(frozen=True, slots=True)
class BridgeEnd:
    """Why the bridge has ended: one word to search for, a sentence, and what was said about it."""

    reason: str
    text: str
    message: str


_ENDS: Final = {
    "run-finished": ("RunFinished", "the run finished"),
    "run-failed": ("RunFailed", "the run failed"),
    "inactive": ("Inactive", "nothing happened for the stated time"),
    "prompt-not-delivered": ("PromptNotDelivered", "the prompt could not be delivered"),
}
"""The ends in the message of `bridge`, as docs/runner-contract.md lists them."""


def read_bridge_end(message: Mapping[str, Any]) -> BridgeEnd | None:
    """Read why the bridge has ended; None if it is another message."""
    found = _ENDS.get(_to_text(message.get("ended")))
    return BridgeEnd(*found, _to_text(message.get("message"))) if found else None


def _join_texts(value: Any) -> str:
    return ", ".join(filter(None, map(_to_text, _items(value))))


def _items(value: Any) -> list[Any]:
    return value[:_MAX_ITEMS] if isinstance(value, list) else []


def _to_text(value: Any) -> str:
    """Return a text or a number; empty for null, and no more than a sign for what has parts."""
    match value:
        case str():
            return value
        case None:
            return ""
        case list() | dict():
            return "…"
        case _:
            return orjson.dumps(value).decode()
