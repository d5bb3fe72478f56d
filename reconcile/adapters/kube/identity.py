"""The user of a kubeconfig -> credentials; what we cannot speak is refused and not passed over."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from reconcile.adapters.kube.credentials import (
    Credential,
    Credentials,
    FixedCredentials,
    KeyPair,
    TokenFile,
    header_safe,
)
from reconcile.adapters.kube.exec_plugin import VERSIONS, ExecCredentials, Plugin
from reconcile.adapters.kube.tls import Trust
from reconcile.adapters.kube.wording import Mask
from reconcile.core.errors import ClusterError

_EXTENSION: Final = "client.authentication.k8s.io/exec"
_IMPERSONATION: Final = "impersonation is not supported; give that user a context of its own"
_UNSUPPORTED: Final = {
    "auth-provider": "Kubernetes has given it up; use an `exec` plugin or a token",
    "username": "Kubernetes has given up passwords; use a token, a certificate or a plugin",
    "password": "Kubernetes has given up passwords; use a token, a certificate or a plugin",
    "as": _IMPERSONATION,
    "as-uid": _IMPERSONATION,
    "as-groups": _IMPERSONATION,
    "as-user-extra": _IMPERSONATION,
}


def refuse_unsupported(user: Mapping[str, Any]) -> None:
    """Raise a ClusterError for a field that would make us somebody else than the user means."""
    for key, reason in _UNSUPPORTED.items():
        if user.get(key):
            raise ClusterError(f"{key}: {reason}")


def cluster_info(cluster: Mapping[str, Any], trust: Trust) -> Mapping[str, Any]:
    """Word a cluster as credential plugins are told of it (`provideClusterInfo`)."""
    extensions = cluster.get("extensions") or []
    ours = (one for one in extensions if isinstance(one, dict) and one.get("name") == _EXTENSION)
    info = {
        "server": cluster.get("server"),
        "tls-server-name": trust.server_name,
        "insecure-skip-tls-verify": not trust.verify,
        "certificate-authority-data": base64.b64encode(trust.authorities).decode(),
        "proxy-url": cluster.get("proxy-url"),
        "config": next((one.get("extension") for one in ours), None),
    }
    return {key: value for key, value in info.items() if value}


@dataclass(frozen=True, slots=True)
class User:
    """A user of a kubeconfig, with all that its credentials may need.

    `fields` are as in the file; `keys` is its client certificate; `cluster` is for plugins that are
    told of it; `environ` is what a plugin runs in.
    """

    fields: Mapping[str, Any] = field(repr=False)
    keys: KeyPair | None
    cluster: Mapping[str, Any]
    environ: Mapping[str, str] = field(repr=False)
    mask: Mask

    def credentials(self) -> Credentials:
        """Choose as client-go does: a token file, then a token, then a plugin, then none."""
        token = self.fields.get("token") or ""
        if not isinstance(token, str):
            raise ClusterError("token: must be text; put it in quotes")
        fixed = Credential(header_safe(token, "token") if token else "", self.keys)
        if path := self.fields.get("tokenFile"):
            return TokenFile(Path(str(path)), fixed)
        spec = self.fields.get("exec")
        if token or not spec:
            return FixedCredentials(fixed)
        if not isinstance(spec, dict):
            raise ClusterError("exec: must be a mapping")
        return ExecCredentials(self._plugin(spec), self.keys, self.mask)

    def _plugin(self, spec: Mapping[str, Any]) -> Plugin:
        command, version = spec.get("command"), spec.get("apiVersion")
        if not isinstance(command, str) or not command:
            raise ClusterError("exec.command: is missing")
        if version not in VERSIONS:
            raise ClusterError(f"exec.apiVersion: must be one of {', '.join(VERSIONS)}")
        if spec.get("interactiveMode") == "Always":
            raise ClusterError("exec.interactiveMode: Always cannot be, nobody is asked here")
        return Plugin(
            command=(command, *_texts(spec.get("args"))),
            api_version=version,
            environ={**self.environ, **_variables(spec.get("env"))},
            cluster=self.cluster if spec.get("provideClusterInfo") is True else {},
            install_hint=str(spec.get("installHint") or ""),
        )


def _texts(values: object) -> tuple[str, ...]:
    listed = values if isinstance(values, list) else []
    return tuple(str(value) for value in listed)


def _variables(entries: object) -> Mapping[str, str]:
    listed = entries if isinstance(entries, list) else []
    try:
        return {str(entry["name"]): str(entry["value"]) for entry in listed}
    except (KeyError, TypeError) as error:
        raise ClusterError("exec.env: each entry needs a `name` and a `value`") from error
