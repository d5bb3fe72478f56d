"""What can go wrong with a request, and plans that say with which."""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class When(enum.Enum):
    """On which side of the server's work something fails."""

    BEFORE = "the server never sees the request"
    AFTER = "the server does the work, but nobody learns of it"


@dataclass(frozen=True, slots=True)
class Answer:
    """The front answers in the server's place, which never sees the request.

    Attributes:
        code: HTTP status, such as 429, 500 or 503.
        retry_after_s: Value of `Retry-After`, if any is to be sent.
    """

    code: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection closes without an answer."""

    when: When


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer ever comes; the connection stays open until the client or the front ends it."""

    when: When


Fault = Answer | Drop | Hang
Plan = Callable[[int, str, str], Fault | None]
"""From a request's number (from 1), method and path with query to what goes wrong with it."""


def on_request(number: int, fault: Fault) -> Plan:
    """Return a plan in which only the request with this number fails."""
    return lambda current, _method, _path: fault if current == number else None


@dataclass(frozen=True, slots=True)
class Received:
    """One request that came in."""

    number: int
    method: str
    path: str
