"""A cluster that records its calls and fails the chosen ones."""

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from reconcile.core.errors import AdmissionDeniedError, ClusterError
from reconcile.core.model import Kind, ObjectRef
from reconcile.engine.ports import Cluster


class MutatingCluster:
    """Applies what `mutate` makes of each body, as a mutating webhook does."""

    def __init__(self, inner: Cluster, mutate: Callable[[dict[str, Any]], None]) -> None:
        self._inner = inner
        self._mutate = mutate

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def apply(self, body, options):
        changed = copy.deepcopy(dict(body))
        self._mutate(changed)
        return self._inner.apply(changed, options)


@dataclass(frozen=True)
class Call:
    """One request: `number` counts from 0; `name` is empty for lists."""

    number: int
    verb: str
    kind: str
    namespace: str
    name: str = ""

    @property
    def writes(self) -> bool:
        return self.verb in {"apply", "delete"}


@dataclass(frozen=True)
class Fault:
    """The error of a request; with `late` the request takes effect and its response is lost."""

    error: ClusterError
    late: bool = False


Faults = Callable[[Call], Fault | None]


def never(_call):
    return None


def nth(number, error, *, late=False) -> Faults:
    """Fail only the call of this number."""
    return lambda call: Fault(error, late) if call.number == number else None


@dataclass
class Times:
    """Fail the first `times` calls of a verb; `kind`, `name` and `namespace` narrow it if set."""

    error: ClusterError
    verb: str
    kind: str = ""
    name: str = ""
    namespace: str = ""
    times: int = 1
    late: bool = False

    def __call__(self, call):
        wanted = {"verb": self.verb, "kind": self.kind, "name": self.name}
        wanted["namespace"] = self.namespace
        matches = all(not value or getattr(call, key) == value for key, value in wanted.items())
        if not matches or not self.times:
            return None
        self.times -= 1
        return Fault(self.error, self.late)


always = 1_000_000


@dataclass
class FlakyCluster:
    """A Cluster that fails the calls that `faults` chooses, and logs all calls.

    `before` gets each call before it is made, so that another client can act at that moment. `uids`
    has all UIDs of each applied object.
    """

    inner: Cluster
    faults: Faults = never
    before: Callable[[Call], None] = never
    log: list = field(default_factory=list)
    uids: dict = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def list(self, kind, namespace, labels) -> Iterator:
        request = partial(self.inner.list, kind, namespace, labels)
        yield from self._iterate("list", kind, namespace, request)

    def metadata(self, kind, namespace) -> Iterator:
        request = partial(self.inner.metadata, kind, namespace)
        yield from self._iterate("metadata", kind, namespace, request)

    def get(self, kind, namespace, name):
        ref = ObjectRef(kind.group, kind.name, namespace, name)
        return self._do("get", ref, lambda: self.inner.get(kind, namespace, name))

    def apply(self, body, options):
        kind = Kind(body["apiVersion"], body["kind"])
        metadata = body["metadata"]
        ref = ObjectRef(kind.group, kind.name, metadata["namespace"], metadata["name"])
        return self._do("apply", ref, lambda: self.inner.apply(body, options))

    def delete(self, kind, ref, uid):
        return self._do("delete", ref, lambda: self.inner.delete(kind, ref, uid))

    @property
    def writes(self):
        """All write requests, as `verb Kind name`."""
        return [f"{call.verb} {call.kind} {call.name}" for call in self.log if call.writes]

    def _called(self, verb, kind, namespace, name=""):
        with self._lock:
            call = Call(len(self.log), verb, kind, namespace, name)
            self.log.append(call)
        self.before(call)
        with self._lock:
            return self.faults(call)

    def _do(self, verb, ref, request):
        fault = self._called(verb, ref.kind, ref.namespace, ref.name)
        if fault is not None and not fault.late:
            raise fault.error
        result = request()
        if verb == "apply":
            self.uids.setdefault(ref, set()).add(result["metadata"]["uid"])
        if fault is not None:
            raise fault.error
        return result

    def _iterate(self, verb, kind, namespace, request):
        """Yield the items of a list; a late fault ends it after half of them."""
        fault = self._called(verb, kind.name, namespace)
        if fault is None:
            yield from request()
            return
        items = list(request())
        yield from items[: len(items) // 2 if fault.late else 0]
        raise fault.error


@dataclass
class LabelPolicy:
    """A Cluster whose admission refuses objects that do not have a label."""

    inner: Cluster
    label: str

    def apply(self, body, options):
        written = self.inner.apply(body, replace(options, dry_run=True))
        if self.label not in written["metadata"].get("labels", {}):
            raise AdmissionDeniedError(f"{body['metadata']['name']} lacks the label {self.label}")
        return self.inner.apply(body, options)

    def __getattr__(self, name):
        return getattr(self.inner, name)


if TYPE_CHECKING:
    _cluster: type[Cluster] = FlakyCluster
