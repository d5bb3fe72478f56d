"""Handles a request: merge or patch, defaults, admission, validation, storage."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jsonpatch
import orjson

from reconcile.adapters.embedded import kubelet
from reconcile.adapters.embedded.admission import admit, admit_change, admit_new
from reconcile.adapters.embedded.immutability import validate_update
from reconcile.adapters.embedded.kinds import ServedKind, find_served_kind
from reconcile.adapters.embedded.kubelet import update_pod_status
from reconcile.adapters.embedded.managed_fields import UPDATE, ManagerIdentifier
from reconcile.adapters.embedded.server_side_apply import (
    apply_declared,
    record_update,
    without_managed_fields,
    without_nulls,
)
from reconcile.adapters.embedded.storage import (
    ClusterStore,
    JsonDict,
    StoredObject,
    begin_deletion,
    object_ref,
    save_object,
)
from reconcile.adapters.embedded.validation import FieldError, validate_object
from reconcile.core.defaulting import set_defaults
from reconcile.core.errors import ClusterError, ConflictError, InvalidError, NotFoundError
from reconcile.core.fields.zero_values import normalize_stored
from reconcile.core.model import Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions

_POD: Final = Kind("v1", "Pod")
_SERVER_SET_METADATA: Final = ("name", "namespace", "creationTimestamp", "generation")


@contextlib.contextmanager
def prefix_errors(operation: str) -> Iterator[None]:
    """Prefix the message of an error with verb and object."""
    try:
        yield
    except ClusterError as error:
        error.args = (f"{operation}: {error}",)
        raise


@dataclass(frozen=True, slots=True)
class ApiRequestHandler:
    """Handles requests at one time; a refused request stores nothing."""

    store: ClusterStore
    time: str
    new_uid: Callable[[], str]

    def apply(self, body: KubeObject, options: ApplyOptions) -> JsonDict:
        """Server-side apply; see `Cluster.apply`."""
        kind, old = self._find_target(body)
        _check_preconditions(body["metadata"], old)
        live = _bare_object(body) if old is None else old
        new = apply_declared(live, body, options, kind.schema, self.time)
        entries = new["metadata"].pop("managedFields", None)
        new = self._complete(kind, old, new)
        if entries:
            new["metadata"]["managedFields"] = entries
        return new if options.dry_run else save_object(self.store, kind, old, new)

    def create(self, body: KubeObject, manager: str) -> JsonDict:
        """Create as `kubectl create` does; ConflictError if the name is in use."""
        kind, old = self._find_target(body)
        if old is not None:
            raise ConflictError(f'{kind.plural} "{body["metadata"]["name"]}" already exists')
        new = self._complete(kind, None, without_nulls(body))
        blank = _bare_object(new)
        new = record_update(blank, new, ManagerIdentifier(manager, UPDATE), kind.schema, self.time)
        return save_object(self.store, kind, None, new)

    def patch(
        self,
        kind: Kind,
        ref: ObjectRef,
        operations: Sequence[Mapping[str, Any]],
        options: ApplyOptions,
    ) -> JsonDict:
        """Apply a JSON Patch; its manager owns the changed fields, `force` has no effect."""
        entry = self.find(kind, ref)
        old = entry.load()
        new: JsonDict = without_nulls(apply_json_patch(entry.load(), operations))
        _check_preconditions(new["metadata"], old)
        for name in _SERVER_SET_METADATA:
            if name in old["metadata"]:
                new["metadata"][name] = old["metadata"][name]
        served = find_served_kind(kind)
        new = self._complete(served, old, without_managed_fields(new))
        new = record_update(
            old, new, ManagerIdentifier(options.manager, UPDATE), served.schema, self.time
        )
        return new if options.dry_run else save_object(self.store, served, old, new)

    def resize(
        self, ref: ObjectRef, operations: Sequence[Mapping[str, Any]], manager: str
    ) -> JsonDict:
        """Apply a JSON Patch by the subresource `resize`: only resources change."""
        entry = self.find(_POD, ref)
        old = entry.load()
        served = find_served_kind(_POD)
        new: JsonDict = without_nulls(apply_json_patch(entry.load(), operations))
        new = self._complete(served, _with_resources(old, new), without_managed_fields(new))
        identifier = ManagerIdentifier(manager, UPDATE, "resize")
        new = record_update(old, new, identifier, served.schema, self.time)
        return save_object(self.store, served, old, new)

    def finish(self, ref: ObjectRef, exit_code: int) -> None:
        """End the containers of a pod; ConflictError if it is not running."""
        pod = self.find(_POD, ref).load()
        if pod["status"]["phase"] != "Running":
            raise ConflictError(f"the pod is {pod['status']['phase']}")
        update_pod_status(
            self.store, pod, kubelet.exited_status(pod, exit_code, self.time), self.time
        )

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...]:
        """Begin the deletion; see `Cluster.delete`."""
        entry = self.find(kind, ref)
        if entry.uid != uid:
            raise ConflictError(
                f"the UID in the precondition ({uid}) does not match the UID in record "
                f"({entry.uid}): the object was deleted and created again"
            )
        begin_deletion(self.store, entry, self.time)
        return tuple(entry.load()["metadata"].get("finalizers") or ())

    def find(self, kind: Kind, ref: ObjectRef) -> StoredObject:
        """Return an object; NotFoundError if it does not exist."""
        served = find_served_kind(kind)
        entry = self.store.find(ref)
        if entry is None:
            raise NotFoundError(f'{served.plural} "{ref.name}" not found')
        return entry

    def _find_target(self, body: KubeObject) -> tuple[ServedKind, JsonDict | None]:
        kind = find_served_kind(Kind(body["apiVersion"], body["kind"]))
        entry = self.store.find(object_ref(body))
        return kind, entry.load() if entry else None

    def _complete(self, kind: ServedKind, old: JsonDict | None, new: JsonDict) -> JsonDict:
        """Set defaults, admit and validate, in the order of a server."""
        new = normalize_stored(new)
        set_defaults(new)
        if old is None:
            new["metadata"].update(uid=self.new_uid(), creationTimestamp=self.time)
            admit_new(new, self.store, self.new_uid)
        else:
            admit_change(old, new)
        admit(new)
        errors = [*validate_object(new, kind), *(validate_update(old, new) if old else ())]
        if errors:
            raise _invalid_error(new, errors)
        return new


def _with_resources(pod: JsonDict, resized: JsonDict) -> JsonDict:
    """Return a pod with the resources of another one, which are no change in the other's update."""
    spec = pod["spec"]
    containers = zip(spec["containers"], resized["spec"]["containers"], strict=True)
    resources = [{**one, "resources": other["resources"]} for one, other in containers]
    return {**pod, "spec": {**spec, "containers": resources}}


def _bare_object(body: KubeObject) -> JsonDict:
    """Return the fields of an object that have no manager."""
    names = ("name", "namespace", "uid", "creationTimestamp")
    metadata = {key: body["metadata"][key] for key in names if key in body["metadata"]}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata}


def _invalid_error(obj: JsonDict, errors: Sequence[FieldError]) -> InvalidError:
    texts = [f"{field}: {message}" for field, message in errors]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f'{obj["kind"]} "{obj["metadata"]["name"]}" is invalid: {listed}'
    return InvalidError(message, tuple(field for field, _ in errors))


def _check_preconditions(wanted: Mapping[str, Any], old: JsonDict | None) -> None:
    """Compare UID and resourceVersion if the request has them."""
    live = old["metadata"] if old else {}
    for name in ("uid", "resourceVersion"):
        if wanted.get(name) and wanted[name] != live.get(name):
            state = f"the object has {live[name]}" if live else "the object does not exist"
            raise ConflictError(f"metadata.{name} {wanted[name]} is required, but {state}")


def apply_json_patch(body: JsonDict, operations: Sequence[Mapping[str, Any]]) -> JsonDict:
    """Apply a JSON Patch (RFC 6902) to `body` in place, and return the result.

    ConflictError where an operation does not fit: a path does not exist, or a `test` fails. It
    names the operation, but no values, which may be secret.
    """
    # Parsed from JSON as a server gets it: later operations must not change the caller's values.
    for operation in orjson.loads(orjson.dumps(operations, default=dict)):
        try:
            body = jsonpatch.apply_patch(body, [operation], in_place=True)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            raise ConflictError(
                f"the patch does not fit the current object: {operation.get('op')} "
                f"{operation.get('path')}"
            ) from error
    return body
