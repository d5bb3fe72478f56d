"""Admission: completes an object before it is stored, or denies it."""

from collections.abc import Callable
from typing import Any, Final

from reconcile.adapters.embedded.storage import ClusterStore, JsonDict
from reconcile.core.defaulting import (
    add_default_tolerations,
    iter_containers,
    set_account_and_priority,
    set_cluster_ip,
)
from reconcile.core.errors import AdmissionDeniedError
from reconcile.core.model import ObjectRef

_SERVICE_ACCOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_FIRST_ADDRESS: Final = 0x0A600000
_ADDRESS_COUNT: Final = 1 << 20


def admit_new(obj: JsonDict, store: ClusterStore, generate_name: Callable[[], str]) -> None:
    """Complete an object that is about to be created; `generate_name` returns unique names.

    AdmissionDeniedError for a pod whose service account does not exist.
    """
    if obj["kind"] == "Pod":
        set_account_and_priority(obj["spec"])
        _admit_service_account(obj, store, generate_name)
    if obj["kind"] == "Service":
        set_cluster_ip(obj["spec"], _allocate_address(store.resource_version))


def admit_change(old: JsonDict, new: JsonDict) -> None:
    """Keep the fields that the server has allocated when an object is changed."""
    if new["kind"] == "Service":
        for name in ("clusterIP", "clusterIPs"):
            if name in old["spec"]:
                new["spec"].setdefault(name, old["spec"][name])


def admit(obj: JsonDict) -> None:
    """Complete an object that is about to be created or changed."""
    if obj["kind"] == "Pod":
        add_default_tolerations(obj["spec"])


def _admit_service_account(
    obj: JsonDict, store: ClusterStore, generate_name: Callable[[], str]
) -> None:
    spec, namespace = obj["spec"], obj["metadata"]["namespace"]
    name = spec["serviceAccountName"]
    account = store.find(ObjectRef("", "ServiceAccount", namespace, name))
    if account is None and name != "default":
        raise AdmissionDeniedError(
            f'pods "{obj["metadata"]["name"]}" is forbidden: error looking up service account '
            f'{namespace}/{name}: serviceaccount "{name}" not found'
        )
    default = account.load().get("automountServiceAccountToken", True) if account else True
    if spec.get("automountServiceAccountToken", default):
        _mount_token(spec, f"kube-api-access-{generate_name()[:5]}")


def _mount_token(spec: JsonDict, name: str) -> None:
    without = [each for each in iter_containers(spec) if not _mounts_token(each)]
    if not without:
        return
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volume: dict[str, Any] = {"name": name, "projected": {"sources": [token], "defaultMode": 420}}
    spec.setdefault("volumes", []).append(volume)
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": _SERVICE_ACCOUNT_PATH}
        container.setdefault("volumeMounts", []).append(mount)


def _mounts_token(container: JsonDict) -> bool:
    return any(
        mount["mountPath"] == _SERVICE_ACCOUNT_PATH for mount in container.get("volumeMounts", ())
    )


def _allocate_address(number: int) -> str:
    octets = (_FIRST_ADDRESS + number % _ADDRESS_COUNT).to_bytes(4, "big")
    return ".".join(str(octet) for octet in octets)
