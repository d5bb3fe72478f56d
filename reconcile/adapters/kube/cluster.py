"""A real API server as the engine's `Cluster`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

import orjson

from reconcile.adapters.kube.discovery import ALWAYS_SERVED, RestMapper
from reconcile.adapters.kube.transport import (
    JSON_MEDIA_TYPE,
    ApiClient,
    ApiRequest,
    ResponseTooLargeError,
)
from reconcile.core.errors import (
    ClusterError,
    ConflictError,
    InvalidError,
    NotFoundError,
    NotFoundReason,
    UnavailableError,
)
from reconcile.core.model import Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

PAGE_SIZE: Final = 500
"""Objects in one page of a list, as in kubectl."""

_METADATA_TYPE: Final = ",".join(
    f"{JSON_MEDIA_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v={version}"
    for version in ("v1", "v1beta1")
)
_STRICT_VALIDATION: Final = {"fieldValidation": "Strict"}


class KubeCluster:
    """Implements `Cluster` with one `ApiClient`; see the port for the contract of each method."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._rest_mapper = RestMapper(client)

    def close(self) -> None:
        """Close the open connections; a later request opens new ones."""
        self._client.close()

    def list(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Iterator[KubeObject]:
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        params = {"labelSelector": selector} if selector else {}
        for item in self._list_items(kind, namespace, params, JSON_MEDIA_TYPE):
            _check_item(item, labels, f"list {kind.name} in {namespace}")
            item["metadata"].setdefault("resourceVersion", "")
            item.update(apiVersion=kind.api_version, kind=kind.name)
            yield item

    def metadata(self, kind: Kind, namespace: str) -> Iterator[KubeObject]:
        for item in self._list_items(kind, namespace, {}, _METADATA_TYPE):
            yield {
                "apiVersion": kind.api_version,
                "kind": kind.name,
                "metadata": item.get("metadata", {}),
            }

    def get(self, kind: Kind, namespace: str, name: str) -> KubeObject:
        path = self._rest_mapper.path(kind, namespace, name)
        call = ApiRequest(f"get {kind.name} {namespace}/{name}", "GET", path)
        return _check_object(call, self._send(kind, call))

    def apply(self, body: KubeObject, options: ApplyOptions) -> KubeObject:
        kind = Kind(body["apiVersion"], body["kind"])
        metadata = self._with_uid_precondition(kind, body["metadata"])
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        operation = f"apply {kind.name} {namespace}/{name}"
        call = ApiRequest(
            operation,
            "PATCH",
            self._rest_mapper.path(kind, namespace, name),
            {
                "fieldManager": options.manager,
                "force": "true" if options.force else "false",
                **_STRICT_VALIDATION,
                **_dry_run_params(enabled=options.dry_run),
            },
            # JSON is valid YAML, and the server has no other media type for an apply.
            content_type="application/apply-patch+yaml",
            body=_encode(operation, {**body, "metadata": metadata}),
        )
        return _check_object(call, self._send(kind, call))

    def delete(self, kind: Kind, ref: ObjectRef, uid: str) -> tuple[str, ...]:
        operation = f"delete {ref}"
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        path = self._rest_mapper.path(kind, ref.namespace, ref.name)
        call = ApiRequest(operation, "DELETE", path, body=_encode(operation, options))
        return _remaining_finalizers(self._send(kind, call))

    def _send(self, kind: Kind, call: ApiRequest) -> dict[str, Any]:
        try:
            return self._client.send(call)
        except NotFoundError as error:
            if error.reason is NotFoundReason.KIND and kind in ALWAYS_SERVED:
                raise ClusterError(
                    f"{error}; every API server does: check the path of the server's URL"
                ) from error
            raise

    def _with_uid_precondition(self, kind: Kind, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add the live object's UID to a resourceVersion without one.

        An API server compares a resourceVersion only if the object exists, and else creates it.
        """
        version = metadata.get("resourceVersion")
        if version is None or "uid" in metadata:
            return metadata
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        try:
            live = self.get(kind, namespace, name).get("metadata") or {}
        except NotFoundError as error:
            raise ConflictError(f"apply version {version}: {error}") from error
        return {**metadata, "uid": live.get("uid", "")}

    def _list_items(
        self, kind: Kind, namespace: str, params: Mapping[str, str], accept: str
    ) -> Iterator[dict[str, Any]]:
        operation = f"list {kind.name} in {namespace}" if namespace else f"list {kind.name}"
        query = {**params, "limit": str(PAGE_SIZE)}
        try:
            path = self._rest_mapper.path(kind, namespace)
            first = ApiRequest(operation, "GET", path, query, accept)
            call, page = _send_page(partial(self._send, kind), first)
        except NotFoundError as error:
            if error.reason is NotFoundReason.KIND:
                return
            raise ClusterError(
                f"{error}; a list is never missing: check the path of the server's URL"
            ) from error
        tokens: set[str] = set()
        while True:
            yield from _page_items(page, kind, namespace, operation)
            token = _find_next_page(page, operation)
            if not token:
                return
            if token in tokens:
                raise UnavailableError(f"{operation}: the server sends the same page again")
            tokens.add(token)
            call = replace(call, params={**call.params, "continue": token})
            call, page = _send_page(self._client.send, call)


def _send_page(
    send: Callable[[ApiRequest], dict[str, Any]], call: ApiRequest
) -> tuple[ApiRequest, dict[str, Any]]:
    """Request a page, of fewer objects while they are too large; returns the last request too."""
    while True:
        try:
            return call, send(call)
        except ResponseTooLargeError:
            limit = int(call.params["limit"])
            if limit == 1:
                raise
            call = replace(call, params={**call.params, "limit": str(max(1, limit // 4))})


def _check_object(call: ApiRequest, response: dict[str, Any]) -> KubeObject:
    """Return a response that is an object; a proxy may answer with something else."""
    if not _is_object(response):
        raise UnavailableError(f"{call.operation}: the response is not an object of Kubernetes")
    return response


def _is_object(value: object) -> bool:
    """Whether a value has the shape of an object, as far as others rely on it."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    metadata = value["metadata"]
    return (
        _have_types(metadata, _METADATA_TYPES)
        and _have_types(value, _PART_TYPES)
        and all(_is_map_of_text(metadata.get(name)) for name in _MAPS)
        and all(_is_list_of(metadata.get(name), each) for name, each in _LISTS.items())
    )


_TEXT_OR_NULL: Final = (str, NoneType)
_METADATA_TYPES: Final = {
    "name": (str,),
    "uid": (str,),
    "namespace": _TEXT_OR_NULL,
    "resourceVersion": _TEXT_OR_NULL,
    "creationTimestamp": _TEXT_OR_NULL,
    "deletionTimestamp": _TEXT_OR_NULL,
}
_PART_TYPES: Final = dict.fromkeys(("data", "spec", "status"), (dict, NoneType))
_MAPS: Final = ("labels", "annotations")
_LISTS: Final = {"finalizers": str, "ownerReferences": dict, "managedFields": dict}


def _have_types(value: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> bool:
    return all(type(value.get(name)) in types[name] for name in types)


def _is_map_of_text(value: object) -> bool:
    """Whether a value is a map of texts, or missing; its keys are texts, as it was JSON."""
    return value is None or (
        isinstance(value, dict) and {str}.issuperset(map(type, value.values()))
    )


def _is_list_of(value: object, item: type) -> bool:
    return value is None or (isinstance(value, list) and {item}.issuperset(map(type, value)))


def _page_items(
    page: Mapping[str, Any], kind: Kind, namespace: str, operation: str
) -> Sequence[dict[str, Any]]:
    """Return the items of a page; a server written in Go may send null instead of an empty list."""
    items: Any = page.get("items", 0)
    is_list = _is_list_kind(str(page.get("kind")), kind)
    if is_list and items is None:
        return ()
    if not is_list or not isinstance(items, list) or not all(map(_is_object, items)):
        raise UnavailableError(f"{operation}: the response is not a list of {kind.name}")
    if namespace and any(item["metadata"].get("namespace") != namespace for item in items):
        raise UnavailableError(f"{operation}: the response has objects of another namespace")
    return items


def _is_list_kind(name: str, kind: Kind) -> bool:
    """Whether a list of this kind may have this name; a custom resource may have any of its own."""
    common = {f"{kind.name}List", "List", "PartialObjectMetadataList"}
    return name in common or (kind not in ALWAYS_SERVED and name.endswith("List"))


def _find_next_page(page: Mapping[str, Any], operation: str) -> str:
    """Return the token of the next page, empty after the last one."""
    metadata = page.get("metadata") or {}
    token = metadata.get("continue") or "" if isinstance(metadata, dict) else None
    if not isinstance(token, str):
        raise UnavailableError(f"{operation}: the response is not a page of a list")
    return token


def _check_item(item: KubeObject, labels: Mapping[str, str], operation: str) -> None:
    """Refuse an object that was not asked for: it may be another installation's."""
    actual = item["metadata"].get("labels") or {}
    if not labels.items() <= actual.items():
        raise UnavailableError(f"{operation}: the response has objects without the labels")


def _remaining_finalizers(response: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the finalizers in the response to a delete: a Status, or the object if it stays."""
    metadata = response.get("metadata")
    if not isinstance(metadata, dict) or "deletionTimestamp" not in metadata:
        return ()
    return tuple(map(str, metadata.get("finalizers") or ()))


def _dry_run_params(*, enabled: bool) -> Mapping[str, str]:
    return {"dryRun": "All"} if enabled else {}


def _encode(operation: str, content: object) -> bytes:
    try:
        return orjson.dumps(content, default=_to_builtin)
    except orjson.JSONEncodeError as error:
        raise InvalidError(f"{operation}: the object cannot be encoded as JSON: {error}") from error


def _to_builtin(value: object) -> object:
    """Convert other mappings and sequences to dict and list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return [*value]
    raise TypeError(type(value).__name__)


if TYPE_CHECKING:
    _conforms: type[Cluster] = KubeCluster
