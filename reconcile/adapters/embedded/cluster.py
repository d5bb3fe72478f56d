"""The embedded API server as the engine's `Cluster`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconcile.adapters.embedded.api import Writes, doing
from reconcile.adapters.embedded.kinds import is_served, kind_named
from reconcile.adapters.embedded.server import Settings, World
from reconcile.adapters.embedded.storage import Entry, StateFile, Store
from reconcile.core.errors import Absence, NotFoundError
from reconcile.core.model import MANAGER, Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

DEFAULTS: Final = Settings()
"""Real time, random UIDs, every namespace there, pods that wait for `tick`."""

_Result = TypeVar("_Result")


class EmbeddedCluster:
    """The port over objects in memory or in a state file; see `Cluster` for the promises.

    With a state file the node always runs. What is beyond the port (`create`, `edit`, `finish`,
    `tick`) stands for other people, other programs and time.
    """

    def __init__(self, state: Path | None = None, settings: Settings = DEFAULTS) -> None:
        self._settings = settings if state is None else replace(settings, simulates=True)
        file = None if state is None else StateFile(state)
        self._world = World(file, self._settings)

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        wanted = tuple(labels.items())
        for entry in self._select(kind, namespace):
            if entry.carries(wanted):
                yield entry.load()

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        for entry in self._select(kind, namespace):
            metadata = entry.load()["metadata"]
            yield {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        ref = ObjectRef(kind.group, kind.name, namespace, name)
        with doing(f"get {ref}"):
            return self._world.read(lambda store: self._writes(store).find(kind, ref)).load()

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        with self._creating("apply", body):
            return self._change(lambda writes: writes.apply(body, options))

    def patch(
        self, kind: Kind, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], *, dry_run: bool
    ) -> KubeObject:
        options = ApplyOptions(MANAGER, dry_run=dry_run)
        with doing(f"patch {ref}"):
            return self._change(lambda writes: writes.patch(kind, ref, operations, options))

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> None:
        with doing(f"delete {ref}"):
            self._change(lambda writes: writes.delete(kind, ref, uid))

    def create(self, body: KubeObject, manager: str) -> KubeObject:
        """Create as another program would, which thereby owns every field, defaults included."""
        with self._creating("create", body):
            return self._change(lambda writes: writes.create(body, manager))

    def edit(
        self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], manager: str
    ) -> KubeObject:
        """Change an object by a JSON Patch as another manager, which then owns what it changed."""
        options = ApplyOptions(manager)
        with doing(f"edit {ref}"):
            kind = kind_named(ref.group, ref.kind)
            return self._change(lambda writes: writes.patch(kind, ref, operations, options))

    def finish(self, ref: ObjectRef, exit_code: int) -> None:
        """Let all containers of a running pod end by themselves."""
        with doing(f"finish {ref}"):
            self._change(lambda writes: writes.finish(ref, exit_code))

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, and let the node do what is due."""
        self._world.skip(seconds)

    def _select(self, kind: Kind, namespace: str) -> Sequence[Entry]:
        if not is_served(kind):
            return ()
        return self._world.read(lambda store: store.select(kind.group, kind.name, namespace))

    def _change(self, action: Callable[[Writes], _Result]) -> _Result:
        return self._world.change(lambda store: action(self._writes(store)))

    def _writes(self, store: Store) -> Writes:
        return Writes(store, self._world.time, self._settings.new_uid)

    @contextlib.contextmanager
    def _creating(self, verb: str, body: KubeObject) -> Iterator[None]:
        namespace = body["metadata"].get("namespace", "")
        with doing(f"{verb} {body['kind']} {namespace}/{body['metadata']['name']}"):
            known = self._settings.namespaces
            if not namespace or (known is not None and namespace not in known):
                raise NotFoundError(f'namespaces "{namespace}" not found', Absence.NAMESPACE)
            yield


if TYPE_CHECKING:
    _conforms: type[Cluster] = EmbeddedCluster
