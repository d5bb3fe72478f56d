"""What admission adds to an object before it is stored, and what it refuses."""

from collections.abc import Callable
from typing import Any, Final

from reconcile.adapters.embedded.storage import Json, Store
from reconcile.core.defaulting import add_address, add_to_pod, add_tolerations, containers_of
from reconcile.core.errors import DeniedError
from reconcile.core.model import ObjectRef

_TOKENS: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_FIRST_ADDRESS: Final = 0x0A600000
_ADDRESSES: Final = 1 << 20


def admit_new(obj: Json, store: Store, draw: Callable[[], str]) -> None:
    """Complete an object that is about to be created; `draw` gives unique names.

    DeniedError for a pod whose service account is not there.
    """
    if obj["kind"] == "Pod":
        add_to_pod(obj["spec"])
        _service_account(obj, store, draw)
    if obj["kind"] == "Service":
        add_address(obj["spec"], _address(store.version))


def admit_change(old: Json, new: Json) -> None:
    """Keep what was allotted to an object that is about to be changed."""
    if new["kind"] == "Service":
        for name in ("clusterIP", "clusterIPs"):
            if name in old["spec"]:
                new["spec"].setdefault(name, old["spec"][name])


def admit(obj: Json) -> None:
    """Complete an object that is about to be created or changed."""
    if obj["kind"] == "Pod":
        add_tolerations(obj["spec"])


def _service_account(obj: Json, store: Store, draw: Callable[[], str]) -> None:
    spec, namespace = obj["spec"], obj["metadata"]["namespace"]
    name = spec["serviceAccountName"]
    account = store.find(ObjectRef("", "ServiceAccount", namespace, name))
    if account is None and name != "default":
        raise DeniedError(
            f'pods "{obj["metadata"]["name"]}" is forbidden: error looking up service account '
            f'{namespace}/{name}: serviceaccount "{name}" not found'
        )
    wish = account.load().get("automountServiceAccountToken", True) if account else True
    if spec.get("automountServiceAccountToken", wish):
        _mount_token(spec, f"kube-api-access-{draw()[:5]}")


def _mount_token(spec: Json, name: str) -> None:
    without = [each for each in containers_of(spec) if not _mounts(each)]
    if not without:
        return
    token = {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}
    volume: dict[str, Any] = {"name": name, "projected": {"sources": [token], "defaultMode": 420}}
    spec.setdefault("volumes", []).append(volume)
    for container in without:
        mount = {"name": name, "readOnly": True, "mountPath": _TOKENS}
        container.setdefault("volumeMounts", []).append(mount)


def _mounts(container: Json) -> bool:
    return any(mount["mountPath"] == _TOKENS for mount in container.get("volumeMounts", ()))


def _address(number: int) -> str:
    octets = (_FIRST_ADDRESS + number % _ADDRESSES).to_bytes(4, "big")
    return ".".join(str(octet) for octet in octets)
