"""Pods that claim, commit, crash and come too late, in every order: nothing acknowledged is lost.

The model is what was acknowledged. Writes may be lost before they arrive, after, or arrive at any
later time; another pod may act just before a write or just before the look that follows it.
"""

import contextlib
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from reconcile.mirror.errors import FencedError, PreconditionError, StoreAwayError
from reconcile.mirror.head import claim, commit, read_head
from reconcile.mirror.model import Complete, ManifestRef, Writer
from reconcile.mirror.protocol import (
    ClaimRequest,
    Committed,
    HeadVersion,
    build_successor_head,
    is_same_writer,
    next_generation_number,
)
from reconcile.mirror.snapshot.keys import manifest_key
from tests.clocks import FakeClock
from tests.mirror.memory_store import MemoryStore


@dataclass
class Pod:
    """A pod with at most one running process; `writer` is its mark, `position` its memory."""

    claimant: ClaimRequest
    writer: Writer | None = None
    position: HeadVersion | None = None
    attempted: int = 0
    fenced: bool = False
    known: list = field(default_factory=list)
    """Chains that its volume may stand upon: what it restored, and what it sent since."""


@dataclass
class Late:
    """A write that was sent, given up, and may arrive at any time."""

    key: str
    body: bytes
    etag: object


@dataclass
class Wire:
    """A store whose `put_if` behaves as planned, for the next calls."""

    inner: MemoryStore
    plan: list[str] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    before_write: object = None
    before_look: object = None
    written: bool = False

    @property
    def is_plain(self):
        return not (self.plan or self.before_write or self.before_look)

    def retry(self, operation):
        return operation()

    def list(self, prefix, after=""):
        return self.inner.list(prefix, after)

    def get(self, key, limit):
        if self.written and self.before_look is not None:
            deed, self.before_look = self.before_look, None
            deed()
        return self.inner.get(key, limit)

    def put_if(self, key, body, etag):
        self.written = True
        if self.before_write is not None:
            deed, self.before_write = self.before_write, None
            deed()
        match self.plan.pop(0) if self.plan else "fine":
            case "lost before":
                raise StoreAwayError("no answer")
            case "lost after":
                self._quietly(key, body, etag)
                raise StoreAwayError("no answer")
            case "late":
                self.late.append(Late(key, body, etag))
                raise StoreAwayError("no answer")
            case "refused late":
                # A retry of some proxy: the first arrived, and the answer is that of the second.
                self._quietly(key, body, etag)
                raise PreconditionError("no longer what it was")
            case _:
                return self.inner.put_if(key, body, etag)

    def _quietly(self, key, body, etag):
        with contextlib.suppress(PreconditionError):
            self.inner.put_if(key, body, etag)


FATES = st.one_of(
    st.just(["late", "late"]),
    st.lists(
        st.sampled_from(["fine", "lost before", "lost after", "late", "refused late"]), max_size=3
    ),
)
MOMENTS = st.sampled_from(["before write", "never", "before look"])
DEEDS = st.sampled_from(["late", "claim", "commit"])


class Pods(RuleBasedStateMachine):
    """What pods do, and what is asserted after each deed."""

    pods = Bundle("pods")

    def __init__(self):
        super().__init__()
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.late = []
        self.acknowledged = []
        self.seen = {}
        self.highest = 0
        self.count = 0

    @initialize(target=pods)
    def first_pod(self):
        return self._pod()

    @rule(target=pods)
    def new_pod(self):
        return self._pod()

    def _pod(self):
        self.count += 1
        pod = Pod(ClaimRequest(f"uid-{self.count}", f"pod-{self.count}"))
        self._claim(pod, Wire(self.store))
        return pod

    @rule(pod=pods, fates=FATES, moment=MOMENTS, deed=DEEDS, other=pods)
    def hydrate(self, pod, fates, moment, deed, other):
        self._claim(pod, self._wire(fates, moment, deed, other))

    @rule(pod=pods, fates=FATES, moment=MOMENTS, deed=DEEDS, other=pods)
    def write(self, pod, fates, moment, deed, other):
        self._commit(pod, self._wire(fates, moment, deed, other))

    @rule(pod=pods)
    def crash(self, pod):
        pod.position = None
        pod.attempted = 0

    @rule(which=st.integers(0, 5))
    def arrive(self, which):
        if self.late:
            late = self.late.pop(which % len(self.late))
            with contextlib.suppress(PreconditionError):
                self.store.put_if(late.key, late.body, late.etag)
            self._look()

    def _wire(self, fates, moment, deed, other):
        def act():
            wire = Wire(self.store, late=self.late)
            match deed:
                case "claim":
                    self._claim(other, wire)
                case "commit":
                    self._commit(other, wire)
                case _:
                    self.arrive(0)

        wire = Wire(self.store, list(fates), self.late)
        if moment == "before write":
            wire.before_write = act
        if moment == "before look":
            wire.before_look = act
        return wire

    def _claim(self, pod, wire):
        try:
            found = claim(wire, pod.claimant, self.clock)
        except StoreAwayError:
            return
        finally:
            self._look()
        pod.writer, pod.position, pod.fenced = found.head.writer, found, False
        pod.known = [found.head.generation.chain]
        self._nothing_lost(found)

    def _commit(self, pod, wire):
        """One pass of a sync: refuses without a mark, looks at HEAD, then commits."""
        if pod.writer is None or pod.fenced:
            return
        if not self._stand(pod):
            return
        assert pod.position.head.generation.chain in pod.known
        before, pod.position = pod.position, None
        number = next_generation_number(before.head, pod.attempted)
        pod.attempted = number
        chain = (*before.head.generation.chain, self._ref(number))
        attempted = build_successor_head(before.head, chain, 1, Complete())
        pod.known.append(chain)
        certain = wire.is_plain
        try:
            answer = commit(wire, attempted, before)
        except FencedError:
            pod.fenced = True
            assert not is_same_writer(read_head(self.store).head.writer, attempted.writer)
        except StoreAwayError:
            assert not certain
        else:
            self._answered(pod, attempted, answer)
        finally:
            self._look()

    def _answered(self, pod, attempted, answer):
        pod.position = answer.version
        if isinstance(answer, Committed):
            self.acknowledged.append(attempted.generation.chain[-1])

    def _stand(self, pod):
        if pod.position is None:
            found = read_head(self.store)
            pod.fenced = not is_same_writer(found.head.writer, pod.writer)
            pod.position = None if pod.fenced else found
        return not pod.fenced

    def _ref(self, number):
        self.count += 1
        digest = f"{self.count:064x}"
        return ManifestRef(number, manifest_key(number, digest), digest, 1)

    def _look(self):
        """Remember each HEAD that was ever there."""
        found = read_head(self.store)
        if found is not None:
            generation = found.head.generation
            assert generation.number >= self.highest
            self.highest = generation.number
            assert self.seen.setdefault(generation.number, generation.chain) == generation.chain

    def _nothing_lost(self, found):
        assert set(self.acknowledged) <= set(found.head.generation.chain)

    @invariant()
    def what_was_acknowledged_is_there(self):
        found = read_head(self.store)
        if found is not None:
            self._nothing_lost(found)
        else:
            assert not self.acknowledged


Pods.TestCase.settings = settings(max_examples=200, stateful_step_count=25, deadline=None)
test_pods_in_every_order = Pods.TestCase
