"""What a front can do to a request, and plans that say to which."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the front sees it; `number` counts from 1."""

    number: int
    method: str
    path: str

    def is_write_of(self, name: str) -> bool:
        """Tell whether it puts an object whose key ends so."""
        return self.method == "PUT" and self.path.partition("?")[0].endswith(name)


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing is done to it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The front answers, in S3's words; the server never hears of it."""

    status: int
    code: str
    retry_after: int = 0


class When(Enum):
    """Where a connection is cut."""

    BEFORE = "before the server hears of it"
    BODY = "in the middle of the request's body"
    AFTER = "after the server has done it, before the answer"
    ANSWER = "in the middle of the answer's body"


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks."""

    when: When


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of the body's last byte changes on its way: of the request's, or of the answer's."""

    request: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """Each piece of the answer's body waits so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hang:
    """The server does it, and no answer ever comes."""


@dataclass(frozen=True, slots=True)
class Strip:
    """The server does not see the headers whose name begins so."""

    prefix: str


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Something else happens BEFORE the server hears of it, or AFTER it has done it.

    The client gets the server's answer, if it is still there to get it.
    """

    when: When
    deed: Callable[[], object]


Fault: TypeAlias = Pass | Answer | Cut | Flip | Slow | Hang | Strip | Meanwhile
Plan: TypeAlias = Callable[[Asked], Fault]
PASS = Pass()


def nothing(_asked: Asked) -> Fault:
    """Let every request pass."""
    return PASS


def first(count: int, fault: Fault, where: Callable[[Asked], bool] = lambda _asked: True) -> Plan:
    """Do it to the first `count` requests of a kind."""
    left = [count]

    def plan(asked: Asked) -> Fault:
        if left[0] and where(asked):
            left[0] -= 1
            return fault
        return PASS

    return plan


def always(fault: Fault, where: Callable[[Asked], bool] = lambda _asked: True) -> Plan:
    """Do it to every request of a kind."""
    return lambda asked: fault if where(asked) else PASS
