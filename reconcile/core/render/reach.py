"""Finds what templates render beyond the session's own pod: of the node, of others, of the cluster.

It is valid, and the author of the template may intend it, but a reviewer should know it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from reconcile.core.model import DesiredSession, Manifest
from reconcile.core.source_location import DocumentPath, format_document_path

_PODLESS: Final = frozenset({"ConfigMap", "NetworkPolicy", "Secret", "Service", "ServiceAccount"})

_Check = Callable[[Any], str]


def _if_true(message: str) -> _Check:
    return lambda value: message if value is True else ""


def _if_set(message: str) -> _Check:
    return lambda value: message if value else ""


_CHECKS: Final[Mapping[str, _Check]] = {
    "hostPath": _if_set("mounts a path of the node"),
    "hostNetwork": _if_true("uses the network of the node"),
    "hostPID": _if_true("sees the processes of the node"),
    "hostIPC": _if_true("shares memory with processes of the node"),
    "hostPort": _if_set("opens a port of the node"),
    "privileged": _if_true("has all rights on the node"),
    "allowPrivilegeEscalation": _if_true("allows processes to gain rights"),
    "procMount": lambda value: "shows all of /proc" if value == "Unmasked" else "",
    "runAsUser": lambda value: "runs as root" if value == 0 and value is not False else "",
    "add": _if_set("adds capabilities"),
    "nodeName": _if_set("chooses its node, past the scheduler"),
}

_RUNNER_FIELDS: Final[Mapping[str, str]] = {
    "priorityClassName": "can evict the pods of others from their nodes",
    "nodeSelector": "chooses nodes that may be reserved for others",
    "tolerations": "lets the pod run on nodes that are reserved for others",
}
"""Fields that a session may set; the template must not set others."""

_SECRET_FIELDS: Final[Mapping[str, str]] = {
    "secretRef": "name",
    "secretKeyRef": "name",
    "secret": "secretName",
}

_WATCHED: Final = frozenset({"serviceAccountName", *_CHECKS, *_RUNNER_FIELDS, *_SECRET_FIELDS})

Reach = tuple[str, str, str]
"""A template, the field that it renders, and why that reaches beyond the session."""


def find_reach(wanted: DesiredSession) -> Iterator[Reach]:
    """Yield what the objects of a session reach beyond it, and the session's file does not name."""
    walker = _Walker(wanted)
    for manifest in wanted.manifests:
        if manifest.kind.name in {"Role", "RoleBinding"}:
            yield manifest.source, "kind", f"a {manifest.kind.name} gives rights in the namespace"
        elif manifest.kind.name not in _PODLESS:
            for path, message in walker.walk(manifest.body):
                yield manifest.source, format_document_path(path), message


class _Walker:
    """Knows the names that the session may use."""

    def __init__(self, wanted: DesiredSession) -> None:
        spec = wanted.session.spec
        self._runner = spec["runner"]
        self._secrets = {
            spec["storage"]["secretName"],
            spec["storage"]["sharedSecretName"],
            *self._runner["imagePullSecrets"],
            *(item.get("secretRef", {}).get("name") for item in self._runner["envFrom"]),
            *_names_of(wanted.manifests, "Secret"),
        }
        self._accounts = {"default", *_names_of(wanted.manifests, "ServiceAccount")}

    def walk(self, body: Any) -> list[tuple[DocumentPath, str]]:
        found: list[tuple[DocumentPath, str]] = []
        self._walk(body, [], found)
        return found

    def _walk(
        self, value: Any, path: list[str | int], found: list[tuple[DocumentPath, str]]
    ) -> None:
        # Without generators and copies of the path: this runs for each pod of a tree.
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in entries:
            message = self._check(name, item) if name in _WATCHED else ""
            if message:
                found.append(((*path, name), message))
            elif isinstance(item, (dict, list)) and name != "metadata":
                path.append(name)
                self._walk(item, path, found)
                path.pop()

    def _check(self, name: str, value: Any) -> str:
        if name in _CHECKS:
            return _CHECKS[name](value)
        if name in _RUNNER_FIELDS and value and value != self._runner[name]:
            return _RUNNER_FIELDS[name]
        if name == "serviceAccountName" and value not in self._accounts:
            return f"runs as service account `{value}`, which is not the session's own"
        if name in _SECRET_FIELDS and isinstance(value, Mapping):
            return self._check_secret(value.get(_SECRET_FIELDS[name], value.get("name")))
        return ""

    def _check_secret(self, secret: Any) -> str:
        if secret is None or secret in self._secrets:
            return ""
        return f"reads Secret `{secret}`, which neither the session nor the installation names"


def _names_of(manifests: Sequence[Manifest], kind: str) -> Iterator[str]:
    return (each.ref.name for each in manifests if each.kind.name == kind)
