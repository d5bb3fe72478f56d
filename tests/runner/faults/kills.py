"""Kills programs of a session's pods at points that a seed chooses, and lets the session go on."""

import contextlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.runner.faults.judge import Expected, Generations, digest_of, judge_pod, name_of
from tests.runner.faults.pods import SessionPod, SessionStore
from tests.s3.access import S3Server

_HOUR_S = 3600.0
_PATIENCE_S = 60.0
_QUIET_S = 0.15
_PROMPT_DELAYS_S = (0.05, 0.15, 0.3, 0.5)
_LONGEST_START_S = 0.5
_LONGEST_DELAY_S = 0.05
_LONGEST_NOTICE_S = 0.5
_LIFE_S = 2.0

ROUND = 15
"""Points for each session: then a new one begins, with a bucket of its own."""
POLICIES = ("Wait", "Continue")


class Victim(Enum):
    """What is killed."""

    POD = "all programs at once"
    BRIDGE = "bridge"
    RUNNER = "runner"
    SYNC = "sync"


class Moment(Enum):
    """When the kill comes, or shortly after that."""

    START = "while the pod starts"
    TIME = "at a time"
    NOTICE = "when the bridge has seen that a run was cut off"
    MARK = "when the prompt has its mark"
    RUN = "when the runner has the prompt"
    WORK = "when there is a file of the prompt"
    COMMIT = "when something was stored since the mark"


class Change(Enum):
    """Whether the point has a new prompt."""

    NONE = "the same prompt"
    BEFORE = "a new pod has a new prompt"
    RUNNING = "the prompt changes while the pod is running"


@dataclass(frozen=True, slots=True)
class Point:
    """One kill; `share` is of the longest delay after the moment.

    Attributes:
        settles: Whether the pod goes on until it has nothing to do, if the kill left it running.
        in_order: Whether the pod then ends in order.
        clock: Seconds by which the bridge's clock jumps.
    """

    victim: Victim
    moment: Moment
    change: Change
    share: float
    settles: bool
    in_order: bool
    clock: float


def schedule(seed: int, count: int) -> Sequence[Point]:
    """Return points that are spread evenly over victims and moments."""
    chance = random.Random(seed)
    kinds = [
        (victim, moment) for victim in Victim for moment in Moment if _is_possible(victim, moment)
    ]
    strata = -(-count // len(kinds))
    points = [
        _choose(victim, moment, (stratum + chance.random()) / strata, chance)
        for stratum in range(strata)
        for victim, moment in kinds
    ]
    chance.shuffle(points)
    return points[:count]


_ANY_PROMPT = {Moment.START, Moment.TIME}


def _is_possible(victim: Victim, moment: Moment) -> bool:
    victims = {Moment.START: {Victim.POD}, Moment.NOTICE: {Victim.POD, Victim.BRIDGE}}
    return victim in victims.get(moment, {*Victim})


def _choose(victim: Victim, moment: Moment, share: float, chance: random.Random) -> Point:
    changes = (Change.BEFORE, Change.BEFORE, Change.RUNNING)
    is_same = moment is Moment.NOTICE or (moment in _ANY_PROMPT and chance.random() < 0.5)
    return Point(
        victim,
        moment,
        Change.NONE if is_same else chance.choice(changes),
        share,
        settles=chance.random() < 0.7,
        in_order=chance.random() < 0.5,
        clock=chance.choice((0.0, -_HOUR_S, _HOUR_S)),
    )


@dataclass
class Trial:
    """A session whose pods are killed, one after the other.

    Attributes:
        policy: `onInterruptedRun` of the session.
        killed: How often each victim was killed at what moment.
        generations: The session's generations, each of which is judged.
    """

    server: S3Server
    folder: Path
    seed: int
    policy: str
    killed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._store = SessionStore.make(self.server, self.folder / "secret")
        self._names: dict[str, str] = {}
        self.generations = Generations(self._store)
        self._prompts: dict[str, str] = {}
        self._pods = 0
        self._declare()

    def run(self, point: Point) -> None:
        """Kill once, and judge what the pod and the store then have."""
        if point.change is Change.BEFORE:
            self._declare()
        with self._judging(point, point.clock) as life:
            self._live(life, point)

    def run_undisturbed(self) -> None:
        """Run a pod until it has nothing to do, and end it in order."""
        with self._judging("a pod that is not killed") as life:
            assert life.pod.start_first(_PATIENCE_S)
            life.pod.start_others(life.prompt, _PROMPT_DELAYS_S[0])
            life.settle()
            life.pod.end_in_order()

    @contextlib.contextmanager
    def _judging(self, what: object, clock: float = 0.0) -> Iterator["_Life"]:
        """Make a pod, and judge it after the block; a failure has its logs."""
        self._pods += 1
        pod = SessionPod(self.folder, f"pod-{self._pods}", self._store, self.policy)
        pod.clock_jumps = clock
        life = _Life(pod, dict(self._prompts))
        pod.declare(INITIAL_PROMPT=life.prompt)
        try:
            yield life
            judge_pod(pod, life.summarize(self.policy))
            self.generations.judge(self._names)
        except Exception as error:
            raise AssertionError(f"{error}\n{what}, {self.policy}\n{pod.describe()}") from error
        finally:
            pod.close()
        shutil.rmtree(pod.folder)

    def _declare(self) -> str:
        """Declare a new prompt and return it."""
        name = name_of(len(self._names) + 1)
        seconds = self._chance.choice((0.01, 0.03, 0.15))
        text = f"work {name} {self._chance.randrange(2, 6)} {seconds}"
        self._names[digest_of(text)] = name
        self._prompts = {name: text}
        return text

    def _live(self, life: "_Life", point: Point) -> None:
        pod = life.pod
        longest = point.share * _LONGEST_START_S if point.moment is Moment.START else _PATIENCE_S
        if not pod.start_first(longest):
            self._kill(life, point)
            return
        pod.start_others(life.prompt, self._chance.choice(_PROMPT_DELAYS_S))
        if point.change is Change.RUNNING:
            time.sleep(self._chance.random() * _LIFE_S)
            text = self._declare()
            life.change(self._prompts, text)
        life.wait_for(point)
        self._kill(life, point)
        self._end(life, point)

    def _kill(self, life: "_Life", point: Point) -> None:
        self.killed[point.victim.value, point.moment.value] += 1
        if point.victim is Victim.POD:
            life.pod.lose()
        else:
            life.pod.programs[point.victim.value].kill()

    def _end(self, life: "_Life", point: Point) -> None:
        """Let the rest of the pod go on, and end it."""
        pod = life.pod
        if point.victim is Victim.POD:
            return
        if point.victim in {Victim.BRIDGE, Victim.SYNC}:
            pod.restart(point.victim.value)
            life.bridges += point.victim is Victim.BRIDGE
        if point.settles and point.victim is not Victim.RUNNER:
            life.settle()
        else:
            time.sleep(self._chance.random() * _LIFE_S / 4)
        if point.in_order:
            pod.end_in_order()
        else:
            pod.lose()


@dataclass(frozen=True, slots=True)
class Round:
    """What one session has shown: the kills by victim and moment, and its generations."""

    killed: Counter[tuple[str, str]]
    generations: int
    with_work: int


def run_round(server: S3Server, folder: Path, seed: int, count: int) -> Round:
    """Kill at so many points of one session, whose policy follows from the seed, too."""
    trial = Trial(server, folder, seed, POLICIES[seed % len(POLICIES)])
    for point in schedule(seed, count):
        trial.run(point)
    for _ in range(2):
        trial.run_undisturbed()
    return Round(trial.killed, trial.generations.judged, trial.generations.with_work)


class _Life:
    """What has happened to a pod."""

    def __init__(self, pod: SessionPod, prompts: dict[str, str]) -> None:
        self.pod = pod
        self.prompts = prompts
        self.is_settled = False
        self.has_changed = False
        self.bridges = 1

    @property
    def prompt(self) -> str:
        """The prompt that is declared now."""
        return list(self.prompts.values())[-1]

    def summarize(self, policy: str) -> Expected:
        """Return what is to be judged."""
        return Expected(self.prompts, policy, self.is_settled, self.has_changed, self.bridges)

    def change(self, prompts: dict[str, str], text: str) -> None:
        """Change the mounted prompt."""
        self.prompts |= prompts
        self.has_changed = True
        self.pod.declare(INITIAL_PROMPT=text)

    def settle(self) -> None:
        """Wait until the pod has done all that it had to do."""
        self._until(self._has_settled)
        self.is_settled = True

    def wait_for(self, point: Point) -> None:
        """Wait for the moment of a kill, or until nothing more happens, and then a little."""
        if point.moment is Moment.START:
            return
        if point.moment is Moment.TIME:
            time.sleep(point.share * _LIFE_S)
            return
        happened = self._build_condition(point.moment)
        self._until(lambda: happened() or self._has_settled())
        is_notice = point.moment is Moment.NOTICE
        time.sleep(point.share * (_LONGEST_NOTICE_S if is_notice else _LONGEST_DELAY_S))

    def _build_condition(self, moment: Moment) -> Callable[[], bool]:
        pod, digest = self.pod, digest_of(self.prompt)
        name = list(self.prompts)[-1]
        commits: list[int] = []

        def is_marked() -> bool:
            return any(each["digest"] == digest for each in pod.marks)

        def is_stored() -> bool:
            if is_marked() and not commits:
                commits.append(pod.count_commits())
            return bool(commits) and pod.count_commits() > commits[0]

        return {
            Moment.NOTICE: self._has_noticed,
            Moment.MARK: is_marked,
            Moment.RUN: lambda: pod.count_runs()[self.prompt] > 0,
            Moment.WORK: (pod.workspace / "artifacts" / f"{name}-1").exists,
            Moment.COMMIT: is_stored,
        }[moment]

    def _has_noticed(self) -> bool:
        """Whether a run that was open when the pod began is not any more."""
        before = {each["digest"] for each in self.pod.restored if each["run"] == "open"}
        return any(each["digest"] in before and each["run"] != "open" for each in self.pod.marks)

    def _has_settled(self) -> bool:
        """Whether all is done, and for a while nothing more begins."""
        before = self.pod.count_runs()
        if not self._is_done():
            return False
        time.sleep(_QUIET_S)
        return self._is_done() and self.pod.count_runs() == before

    def _is_done(self) -> bool:
        pod = self.pod
        marks = {each["digest"]: each["run"] for each in pod.marks}
        is_delivered = digest_of(self.prompt) in marks
        is_over = "open" not in marks.values()
        return is_delivered and is_over and pod.has_asked and pod.is_ready()

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "what the pod has to do does not happen"
            time.sleep(0.002)
