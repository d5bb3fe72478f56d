"""A JSON Patch of a live object under our manager's name, as kubectl and other clients send it.

The product itself changes objects by server-side apply only.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from reconcile.adapters.embedded.api import prefix_errors
from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.transport import ApiRequest
from reconcile.core.errors import ConflictError, InvalidError
from reconcile.core.model import FIELD_MANAGER, Kind, KubeObject, ObjectRef
from reconcile.engine.ports import ApplyOptions, Cluster

REJECTED = "the server rejected our request due to an error in our request"
"""The server's message for a JSON Patch whose `test` fails or whose path does not exist."""


def patch_object(
    cluster: Cluster,
    kind: Kind,
    ref: ObjectRef,
    operations: Sequence[Any],
    *,
    dry_run: bool = False,
) -> KubeObject:
    """Carry out a JSON Patch; errors as for `Cluster.apply`, NotFoundError for a missing object."""
    if isinstance(cluster, EmbeddedCluster):
        options = ApplyOptions(FIELD_MANAGER, dry_run=dry_run)
        with prefix_errors(f"patch {ref}"):
            return cluster._write(lambda handler: handler.patch(kind, ref, operations, options))
    assert isinstance(cluster, KubeCluster)
    path = cluster._rest_mapper.path(kind, ref.namespace, ref.name)
    params = {"fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
    media_type = "application/json-patch+json"
    body = orjson.dumps([dict(operation) for operation in operations])
    request = ApiRequest(f"patch {ref}", "PATCH", path, params, content_type=media_type, body=body)
    try:
        return cluster._client.send(request)
    except InvalidError as error:
        if REJECTED in str(error):
            raise ConflictError(str(error)) from error
        raise
