"""The embedded API server as the engine's `Cluster`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from reconcile.adapters.embedded.api import ApiRequestHandler, prefix_errors
from reconcile.adapters.embedded.kinds import find_kind, is_served
from reconcile.adapters.embedded.server import EmbeddedServer, EmbeddedSettings
from reconcile.adapters.embedded.storage import ClusterStore, StateFile, StoredObject
from reconcile.core.errors import NotFoundError, NotFoundReason
from reconcile.core.model import Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

DEFAULT_SETTINGS: Final = EmbeddedSettings()
"""Real time, random UIDs, all namespaces exist, pods wait for `tick`."""

_Result = TypeVar("_Result")


class EmbeddedCluster:
    """Implements `Cluster` with objects in memory or in a state file.

    With a state file the node always runs. The other methods (`create`, `edit`, `resize`, `finish`,
    `tick`) simulate other users, other programs and time.
    """

    def __init__(
        self, state_path: Path | None = None, settings: EmbeddedSettings = DEFAULT_SETTINGS
    ) -> None:
        self._settings = settings if state_path is None else replace(settings, auto_tick=True)
        file = None if state_path is None else StateFile(state_path)
        self._server = EmbeddedServer(file, self._settings)

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        wanted = tuple(labels.items())
        for entry in self._select(kind, namespace):
            if entry.has_labels(wanted):
                yield entry.load()

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        for entry in self._select(kind, namespace):
            metadata = entry.load()["metadata"]
            yield {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        ref = ObjectRef(kind.group, kind.name, namespace, name)
        with prefix_errors(f"get {ref}"):
            return self._server.read(lambda store: self._handler(store).find(kind, ref)).load()

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        with self._check_namespace("apply", body):
            return self._write(lambda handler: handler.apply(body, options))

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...]:
        with prefix_errors(f"delete {ref}"):
            return self._write(lambda handler: handler.delete(kind, ref, uid))

    def create(self, body: KubeObject, manager: str) -> KubeObject:
        """Create an object as another manager, which then owns every field, including defaults."""
        with self._check_namespace("create", body):
            return self._write(lambda handler: handler.create(body, manager))

    def edit(
        self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], manager: str
    ) -> KubeObject:
        """Apply a JSON Patch as another manager, which then owns the changed fields."""
        options = ApplyOptions(manager)
        with prefix_errors(f"edit {ref}"):
            kind = find_kind(ref.group, ref.kind)
            return self._write(lambda handler: handler.patch(kind, ref, operations, options))

    def resize(
        self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], manager: str
    ) -> KubeObject:
        """Apply a JSON Patch by a pod's subresource `resize`, as another manager."""
        with prefix_errors(f"resize {ref}"):
            return self._write(lambda handler: handler.resize(ref, operations, manager))

    def finish(self, ref: ObjectRef, exit_code: int) -> None:
        """End all containers of a running pod with this exit code."""
        with prefix_errors(f"finish {ref}"):
            self._write(lambda handler: handler.finish(ref, exit_code))

    def tick(self, seconds: float = 0.0) -> None:
        """Advance the time, and run the node."""
        self._server.advance_time(seconds)

    def _select(self, kind: Kind, namespace: str) -> Sequence[StoredObject]:
        if not is_served(kind):
            return ()
        return self._server.read(lambda store: store.list_objects(kind.group, kind.name, namespace))

    def _write(self, action: Callable[[ApiRequestHandler], _Result]) -> _Result:
        return self._server.write(lambda store: action(self._handler(store)))

    def _handler(self, store: ClusterStore) -> ApiRequestHandler:
        return ApiRequestHandler(store, self._server.time, self._settings.new_uid)

    @contextlib.contextmanager
    def _check_namespace(self, verb: str, body: KubeObject) -> Iterator[None]:
        namespace = body["metadata"].get("namespace", "")
        with prefix_errors(f"{verb} {body['kind']} {namespace}/{body['metadata']['name']}"):
            existing = self._settings.namespaces
            if not namespace or (existing is not None and namespace not in existing):
                raise NotFoundError(f'namespaces "{namespace}" not found', NotFoundReason.NAMESPACE)
            yield


if TYPE_CHECKING:
    _conforms: type[Cluster] = EmbeddedCluster
