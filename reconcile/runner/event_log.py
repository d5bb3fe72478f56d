"""`.session/events.jsonl`: the AG-UI events of all runs, so that what the agent said survives.

Each line is one JSON object: the event with the time at which it was read. The parts of a message
are joined until the message ends, since a secret may be divided between two of them. The file is
read with jq:

    jq -r 'select(.type == "TEXT_MESSAGE_CONTENT").delta' .session/events.jsonl

`events.1.jsonl` is the file before it, and so on. A file that cannot be written stops no run.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from reconcile.runner.session_dir import SessionDir, SessionDirError
from reconcile.runtime.clock import utc_now
from reconcile.runtime.logging import Logger

NAME: Final = "events.jsonl"
FILE_BYTES: Final = 2 << 20
"""Bytes of a file after which the next one is begun; small, as a changed file is stored again."""
MOST_FILES: Final = 8
LARGEST_LINE: Final = 64 << 10

_FLUSH_SECONDS: Final = 1.0
_LARGEST_BUFFER: Final = 4 << 20
_LONGEST_PART: Final = 16 << 10
_MOST_MESSAGES: Final = 64
_LONGEST_TEXT: Final = 16 << 10
_SHORT_TEXT: Final = 256
_MOST_CHARACTERS: Final = 48 << 10
_FEW_CHARACTERS: Final = 4 << 10
_ITEM_CHARACTERS: Final = 8
_MARGIN: Final = 4 << 10
_DEEPEST: Final = 32
_CUT: Final = "…"
_REASONING: Final = "reasoning"
"""Stands for the id of the agent's reasoning, whose events have none and follow each other."""


_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Message:
    """Parts of one message that are not written yet: the first event, cut, and the joined text."""

    fields: Mapping[str, Any]
    text: str


class EventLog:
    """Appends events to the file, at most once a second; `flush` writes all that there is.

    `mask` removes secrets from a text; `count_dropped` gets the reason and the number of events
    that were not written.
    """

    def __init__(
        self,
        folder: SessionDir,
        mask: Callable[[str], str],
        logger: Logger,
        count_dropped: Callable[[str, int], None] = lambda _reason, _number: None,
    ) -> None:
        self._folder = folder
        self._mask = mask
        self._logger = logger
        self._count_dropped = count_dropped
        self._messages: dict[str, _Message] = {}
        self._events: list[tuple[Mapping[str, Any], str]] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._is_failing = False

    def append(self, fields: Mapping[str, Any]) -> None:
        """Keep an event; it is written within a second, a message when it has ended."""
        key = _find_message(fields)
        delta = fields.get("delta")
        if isinstance(delta, str) and key:
            self._join(f"{fields.get('type')} {key}", fields, delta)
        else:
            self._end_messages(key, fields)
            self._add(fields)
        if self._timer is None and self._events:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_SECONDS, self._start_writing)

    async def flush(self) -> None:
        """Write all events, those of unfinished messages too; never raises."""
        for key in list(self._messages):
            self._end_message(key)
        await self._write()

    def _join(self, key: str, fields: Mapping[str, Any], delta: str) -> None:
        message = self._messages.get(key)
        if message is None:
            rest = {name: value for name, value in fields.items() if name != "delta"}
            message = _Message(_Trimmer(_FEW_CHARACTERS).trim(rest), "")
            self._messages[key] = message
        message.text += delta
        while len(message.text) > _LONGEST_PART:
            head, message.text = _split(message.text)
            self._add({**message.fields, "delta": head})
        if len(self._messages) > _MOST_MESSAGES:
            self._end_message(next(iter(self._messages)))

    def _end_messages(self, key: str, fields: Mapping[str, Any]) -> None:
        """Write the messages that another event of theirs, or one of the run, has ended."""
        is_of_run = str(fields.get("type", "")).startswith("RUN_")
        for each in list(self._messages):
            if is_of_run or each.endswith(f" {key or _REASONING}"):
                self._end_message(each)

    def _end_message(self, key: str) -> None:
        message = self._messages.pop(key)
        if message.text:
            self._add({**message.fields, "delta": message.text})

    def _add(self, fields: Mapping[str, Any]) -> None:
        trimmer = _Trimmer(_MOST_CHARACTERS)
        kept = trimmer.trim({"type": "", **fields})
        if self._size > _LARGEST_BUFFER:
            self._count_dropped("overflow", 1)
            return
        self._events.append((kept, utc_now()))
        self._size += trimmer.used

    def _start_writing(self) -> None:
        self._timer = None
        self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        async with self._lock:
            events, self._events, self._size = self._events, [], 0
            if not events:
                return
            try:
                await asyncio.to_thread(self._append, events)
            except SessionDirError as error:
                self._count_dropped("unwritable", len(events))
                self._report(str(error))
            else:
                self._report("")

    def _append(self, events: Sequence[tuple[Mapping[str, Any], str]]) -> None:
        """Mask, encode and write; in a thread, since a request must be answered meanwhile."""
        lines = [encode_event(fields, time, self._mask) for fields, time in events]
        self._folder.append(NAME, lines, FILE_BYTES, MOST_FILES)

    def _report(self, error: str) -> None:
        """Log the first of several failures in a row."""
        if error and not self._is_failing:
            self._logger.warning("events are not written", error=error)
        self._is_failing = bool(error)


def encode_event(fields: Mapping[str, Any], time: str, mask: Callable[[str], str]) -> bytes:
    """Encode an event as a line of at most `LARGEST_LINE` bytes without secrets.

    Of an event that is too long, texts are cut and what follows is left out.
    """
    for characters in (_MOST_CHARACTERS, _FEW_CHARACTERS):
        kept = _mask_all(_Trimmer(characters).trim({"type": "", **fields}), mask)
        try:
            line = orjson.dumps({"time": time, **kept}) + b"\n"
        except TypeError:
            break  # An integer that is too large for JSON.
        if len(line) <= LARGEST_LINE:
            return line
    kind = mask(str(fields.get("type", "")))[:_SHORT_TEXT]
    return orjson.dumps({"time": time, "type": kind, "truncated": True}) + b"\n"


class _CutText(str):
    """A text of which the end is missing, with more than is written.

    A secret that is cut off at the end would not be recognized: `_MARGIN` characters more are
    masked, and then removed.
    """

    __slots__ = ()


class _Trimmer:
    """Copies a value until it has a number of characters; does not mask, which takes longer."""

    def __init__(self, characters: int) -> None:
        self._characters = self._remaining = characters

    @property
    def used(self) -> int:
        """Characters that were kept, about."""
        return self._characters - self._remaining

    def trim(self, value: Any, depth: int = 0) -> Any:
        """Return what is kept; what is too deep is replaced."""
        match value:
            case str():
                return self._trim_text(value)
            case dict() | list() if depth > _DEEPEST:
                return _CUT
            case dict():
                return {
                    self._trim_text(str(name)): self.trim(each, depth + 1)
                    for name, each in self._limit(value.items())
                }
            case list():
                return [self.trim(each, depth + 1) for each in self._limit(value)]
            case _:
                return value

    def _limit(self, items: Iterable[_Item]) -> Iterator[_Item]:
        for item in items:
            if self._remaining <= 0:
                return
            self._remaining -= _ITEM_CHARACTERS
            yield item

    def _trim_text(self, text: str) -> str:
        longest = min(_LONGEST_TEXT, max(0, self._remaining))
        self._remaining -= min(longest, len(text))
        if isinstance(text, _CutText) or len(text) > longest:
            return _CutText(text[: longest + _MARGIN])
        return text


def _mask_all(value: Any, mask: Callable[[str], str]) -> Any:
    match value:
        case _CutText():
            return mask(str(value))[:-_MARGIN] + _CUT
        case str():
            return mask(value)
        case dict():
            return {_mask_all(name, mask): _mask_all(each, mask) for name, each in value.items()}
        case list():
            return [_mask_all(each, mask) for each in value]
        case _:
            return value


def _find_message(fields: Mapping[str, Any]) -> str:
    """Return the id of the message or tool call that an event is part of; empty if it has none."""
    for name in ("messageId", "message_id", "toolCallId", "tool_call_id"):
        value = fields.get(name)
        if isinstance(value, str):
            return value[:_SHORT_TEXT]
    return _REASONING if isinstance(fields.get("delta"), str) else ""


def _split(text: str) -> tuple[str, str]:
    """Divide a text where no secret is divided: at its last line end, else at its last space."""
    ends = (text.rfind(separator, 0, _LONGEST_PART) + 1 for separator in ("\n", " "))
    end = next((each for each in ends if each), _LONGEST_PART)
    return text[:end], text[end:]
