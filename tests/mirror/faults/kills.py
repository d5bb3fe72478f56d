"""Kills the program at points that a seed chooses, and checks what the next pod restores."""

import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from tests.mirror.compare_trees import facts
from tests.mirror.faults.edits import edit
from tests.mirror.faults.faulty_session import Running, Session, once
from tests.mirror.faults.gc_program import collect
from tests.mirror.mirror_pod import MirrorPod
from tests.s3.exchange import CutError
from tests.s3.faults import Fault, Meanwhile, When

KILLED = -signal.SIGKILL


class Deed(Enum):
    """What a program is doing when it is killed."""

    SYNC = "one pass"
    FLUSH = "the last flush"
    HYDRATE = "hydrate"
    COLLECT = "garbage collection"


class Moment(Enum):
    """When the kill comes, and how far the program was."""

    BEFORE = "before a request is heard"
    LATE = "when a request is on its way, which arrives all the same"
    AFTER = "when a request is done and its answer on its way"
    TIME = "at a time"


@dataclass(frozen=True, slots=True)
class Point:
    """`share` of the requests, or of the time, that the program needs without a kill."""

    deed: Deed
    moment: Moment
    share: float
    resumes: bool
    """Whether the same pod goes on before another takes over."""


def schedule(seed: int, count: int) -> Sequence[Point]:
    """Return points that are spread evenly over deeds, moments and shares."""
    chance = random.Random(seed)
    kinds = [(deed, moment) for deed in Deed for moment in Moment]
    strata = -(-count // len(kinds))
    points = [
        Point(deed, moment, (stratum + chance.random()) / strata, chance.random() < 0.5)
        for stratum in range(strata)
        for deed, moment in kinds
    ]
    chance.shuffle(points)
    return points[:count]


@dataclass(frozen=True, slots=True)
class Cost:
    """The requests and the time that the program needs without a kill."""

    requests: int
    seconds: float


class Trial:
    """A session whose pods are killed, one after the other.

    Attributes:
        killed: How often each deed was killed at what kind of request.
    """

    def __init__(self, session: Session, seed: int) -> None:
        self._session = session
        self._chance = random.Random(seed)
        self._count = 0
        self._pod = self._next_pod()
        self._pod.hydrate()
        self._acknowledged = facts(self._pod.root)
        self._number = 0
        self._costs: dict[Deed, Cost] = {}
        self.killed: Counter[tuple[str, str]] = Counter()

    def run(self, point: Point) -> None:
        """Kill once, and see what the next pod is given."""
        if point.deed not in self._costs:
            self._measure(point.deed)
        self._change()
        wanted = facts(self._pod.root)
        code = self._do(point.deed, lambda running: self._aim(point, running))
        code = self._resumed(point, code)
        self._judge(point, code, wanted)

    def _measure(self, deed: Deed) -> None:
        self._change()
        wanted = facts(self._pod.root)
        began = time.monotonic()
        code = self._do(deed, lambda _running: None)
        self._costs[deed] = Cost(len(self._session.front.received), time.monotonic() - began)
        assert code == 0
        self._judge(Point(deed, Moment.TIME, 1, resumes=False), code, wanted)

    def _change(self) -> None:
        edit(self._pod.root, self._chance)

    def _do(self, deed: Deed, aim: Callable[[Running], None]) -> int:
        """Start what the deed is in a process, aim at it, and return its code."""
        self._session.front.reset()
        verb = "sync"
        more: tuple[str, ...] = ("--termination-log", str(self._session.folder / "log"))
        if deed is Deed.SYNC:
            more = ("--once",)
        if deed is Deed.HYDRATE:
            self._hand_over()
            verb, more = "hydrate", ()
        if deed is Deed.COLLECT:
            self._settle()
            verb, more = "collect", ()
        with self._session.start(verb, self._pod, *more) as running:
            aim(running)
            if deed is Deed.FLUSH:
                running.until_heard_or_dead("sync begins")
                running.process.terminate()
            return running.ended().code

    def _settle(self) -> None:
        """Store what there is, before something that must not change it is killed."""
        self._pod.sync()
        self._acknowledge(self._pod.root)

    def _hand_over(self) -> None:
        self._settle()
        self._retire(self._next_pod())

    def _aim(self, point: Point, running: Running) -> None:
        cost = self._costs[point.deed]
        if point.moment is Moment.TIME:
            threading.Event().wait(point.share * cost.seconds)
            self._kill(running, point.deed, "a time")
            return
        number = 1 + int(point.share * cost.requests)
        front = self._session.front

        def kill() -> None:
            self._kill(running, point.deed, _kind(front.received[-1]))

        self._session.front.plan = once(_fault(point.moment, kill), number)

    def _kill(self, running: Running, deed: Deed, what: str) -> None:
        if running.process.poll() is None:
            running.process.kill()
            self.killed[deed.value, what] += 1

    def _resumed(self, point: Point, code: int) -> int:
        """Let the kubelet start the container again, in half of the cases."""
        self._session.front.reset()
        if code == KILLED and point.resumes:
            if point.deed is Deed.COLLECT:
                collect(self._session.store())
            elif point.deed is Deed.HYDRATE:
                self._pod.hydrate()
                assert facts(self._pod.root) == self._acknowledged, point
            else:
                self._pod.sync()
            return 0
        assert code in {0, KILLED}, (point, code)
        return code

    def _judge(self, point: Point, code: int, wanted: dict) -> None:
        """Exactly one committed generation, never older than what was acknowledged."""
        new = self._next_pod()
        number = new.hydrate().generation.number
        found = facts(new.root)
        if point.deed in {Deed.HYDRATE, Deed.COLLECT} or (code and found == self._acknowledged):
            assert (found, number) == (self._acknowledged, self._number), point
        else:
            assert found == wanted, point
            assert number == self._number + (wanted != self._acknowledged), point
        self._retire(new)
        self._acknowledge(new.root)

    def _acknowledge(self, root) -> None:
        self._acknowledged = facts(root)
        self._number = self._session.head().generation.number

    def _next_pod(self) -> MirrorPod:
        self._count += 1
        return self._session.pod(f"pod{self._count}")

    def _retire(self, new: MirrorPod) -> None:
        shutil.rmtree(self._pod.root.parent)
        self._pod = new


def _fault(moment: Moment, kill: Callable[[], None]) -> Fault:
    match moment:
        case Moment.BEFORE:
            return Meanwhile(When.BEFORE, lambda: _cut(kill))
        case Moment.LATE:
            return Meanwhile(When.BEFORE, kill)
        case _:
            return Meanwhile(When.AFTER, kill)


def _cut(kill: Callable[[], None]) -> None:
    kill()
    raise CutError


def _kind(asked) -> str:
    rest = asked.path.partition("?")[0].split("/")
    return f"{asked.method} {rest[4] if len(rest) > 4 else 'bucket'}"
