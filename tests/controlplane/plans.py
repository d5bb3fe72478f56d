"""The faults of a request, and plans that choose the requests."""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class When(enum.Enum):
    """Whether a request fails before or after the server handles it."""

    BEFORE = "the server never gets the request"
    AFTER = "the server handles the request, but the client gets no response"


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy responds itself; the server never gets the request.

    Attributes:
        code: HTTP status, such as 429, 500 or 503.
        retry_after_s: Value of `Retry-After`; None for no such header.
    """

    code: int
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection closes without a response."""

    when: When


@dataclass(frozen=True, slots=True)
class Hang:
    """No response is sent; the connection stays open until the client or the proxy closes it."""

    when: When


Fault = Answer | Drop | Hang
Plan = Callable[[int, str, str], Fault | None]
"""Maps a request's number (from 1), method and path with query to its fault."""


def on_request(number: int, fault: Fault) -> Plan:
    """Return a plan in which only the request with this number fails."""
    return lambda current, _method, _path: fault if current == number else None


@dataclass(frozen=True, slots=True)
class Received:
    """One received request."""

    number: int
    method: str
    path: str
