"""The faults that the proxy can inject, and plans that choose the requests."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """A request that the proxy received; `number` counts from 1."""

    number: int
    method: str
    path: str

    def is_write_of(self, name: str) -> bool:
        """Return whether it is a PUT of an object whose key ends with `name`."""
        return self.method == "PUT" and self.path.partition("?")[0].endswith(name)


@dataclass(frozen=True, slots=True)
class Pass:
    """No fault."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The proxy responds with an S3 error; the server never gets the request."""

    status: int
    code: str
    retry_after: int = 0


class When(Enum):
    """The moment of a fault."""

    BEFORE = "before the server gets the request"
    BODY = "in the middle of the body of the request"
    AFTER = "after the server has handled the request, before the response"
    ANSWER = "in the middle of the body of the response"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes."""

    when: When


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of the last byte of a body changes: of the request's, or of the response's."""

    request: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """Each piece of the body of the response is delayed by `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """The server handles the request, and no response is sent."""


@dataclass(frozen=True, slots=True)
class Strip:
    """The headers whose name begins with `prefix` are removed from the request."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """`action` is called BEFORE the server gets the request, or AFTER it has handled it.

    The client gets the server's response, if it is still running.
    """

    when: When
    action: Callable[[], object]


Fault: TypeAlias = Pass | Answer | Cut | Flip | Slow | Hang | Strip | Meanwhile
Plan: TypeAlias = Callable[[ProxiedRequest], Fault]
PASS = Pass()


def nothing(_request: ProxiedRequest) -> Fault:
    """Inject no faults."""
    return PASS


def first(
    count: int, fault: Fault, where: Callable[[ProxiedRequest], bool] = lambda _request: True
) -> Plan:
    """Inject a fault into the first `count` requests for which `where` is true."""
    left = [count]

    def plan(request: ProxiedRequest) -> Fault:
        if left[0] and where(request):
            left[0] -= 1
            return fault
        return PASS

    return plan


def always(fault: Fault, where: Callable[[ProxiedRequest], bool] = lambda _request: True) -> Plan:
    """Inject a fault into every request for which `where` is true."""
    return lambda request: fault if where(request) else PASS
