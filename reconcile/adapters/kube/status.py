"""What an API server answers, and the Status object in which it accounts for a failure."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request; `received` is the time of day in seconds since 1970."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    received: float

    @property
    def succeeded(self) -> bool:
        """Whether the code is one of the 200s."""
        return HTTPStatus.OK <= self.code < HTTPStatus.MULTIPLE_CHOICES


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Status's `details.causes`."""

    reason: str
    message: str
    field: str


@dataclass(frozen=True, slots=True)
class Status:
    """The API server's own account of a failure.

    `subject` is the name of the object that it is about, `kind` that object's plural; both are
    empty where it is about no object.
    """

    reason: str
    message: str
    subject: str = ""
    kind: str = ""
    causes: tuple[Cause, ...] = ()
    retry_after: float = 0.0


def parse(body: bytes) -> Status | None:
    """Read a Status, whatever content type it came with; None for anything else."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(content, dict) or content.get("kind") != "Status":
        return None
    details = _mapping(content.get("details"))
    seconds = details.get("retryAfterSeconds")
    return Status(
        reason=_str(content.get("reason")),
        message=_str(content.get("message")),
        subject=_str(details.get("name")),
        kind=_str(details.get("kind")),
        causes=_causes(details.get("causes")),
        retry_after=float(seconds) if isinstance(seconds, int) and seconds > 0 else 0.0,
    )


def _causes(entries: object) -> tuple[Cause, ...]:
    listed = entries if isinstance(entries, list) else ()
    return tuple(
        Cause(_str(entry.get("reason")), _str(entry.get("message")), _str(entry.get("field")))
        for entry in map(_mapping, listed)
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def retry_after(answer: Answer, status: Status | None) -> float:
    """Read the server's wish in seconds: a number or a date in the header, or in the Status."""
    wish = answer.headers.get("Retry-After", "").strip()
    if wish.isascii() and wish.isdigit():
        return float(wish)
    try:
        seconds = parsedate_to_datetime(wish).timestamp() - answer.received
    except (ValueError, OverflowError):
        return status.retry_after if status else 0.0
    return max(0.0, seconds)
