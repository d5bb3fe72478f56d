"""Connects to the cluster of a kubeconfig or of a pod: server, TLS, proxy, credentials.

Settings of a user that are not supported are refused, and never ignored.
"""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pykube.config import KubeConfig
from pykube.exceptions import PyKubeError
from pykube.http import HTTPClient

from reconcile import __version__
from reconcile.adapters.kube import kubeconfig, transport
from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.credentials import (
    Credential,
    CredentialProvider,
    FixedCredentials,
    KeyPair,
    TokenFile,
    validate_token,
)
from reconcile.adapters.kube.errors import SecretMask
from reconcile.adapters.kube.exec_plugin import EXEC_API_VERSIONS, ExecCredentials, ExecPlugin
from reconcile.adapters.kube.kubeconfig import ResolvedContext
from reconcile.adapters.kube.transport import (
    JSON_MEDIA_TYPE,
    ApiClient,
    ApiEndpoint,
    ConnectTimeouts,
    TlsAdapter,
    TlsConfig,
    load_key_pair,
)
from reconcile.core.errors import ClusterError
from reconcile.runtime.settings import build_child_environ

_EXEC_EXTENSION: Final = "client.authentication.k8s.io/exec"
_IMPERSONATION: Final = (
    "impersonation is not supported; use a context with the credentials of that user"
)
_UNSUPPORTED_FIELDS: Final = {
    "auth-provider": "Kubernetes has removed it; use an `exec` plugin or a token",
    "username": "Kubernetes has removed passwords; use a token, a certificate or a plugin",
    "password": "Kubernetes has removed passwords; use a token, a certificate or a plugin",
    "as": _IMPERSONATION,
    "as-uid": _IMPERSONATION,
    "as-groups": _IMPERSONATION,
    "as-user-extra": _IMPERSONATION,
}


def reject_unsupported_fields(user: Mapping[str, Any]) -> None:
    """Raise a ClusterError for a field that selects an identity in an unsupported way."""
    for key, reason in _UNSUPPORTED_FIELDS.items():
        if user.get(key):
            raise ClusterError(f"{key}: {reason}")


def build_cluster_info(cluster: Mapping[str, Any], tls: TlsConfig) -> Mapping[str, Any]:
    """Describe a cluster for a credential plugin (`provideClusterInfo`)."""
    extensions = cluster.get("extensions")
    for_exec = (
        each
        for each in (extensions if isinstance(extensions, list) else ())
        if isinstance(each, dict) and each.get("name") == _EXEC_EXTENSION
    )
    info = {
        "server": cluster.get("server"),
        "tls-server-name": tls.server_name,
        "insecure-skip-tls-verify": not tls.verify,
        "certificate-authority-data": base64.b64encode(tls.ca_certificates).decode(),
        "proxy-url": cluster.get("proxy-url"),
        "config": next((each.get("extension") for each in for_exec), None),
    }
    return {key: value for key, value in info.items() if value}


@dataclass(frozen=True, slots=True)
class KubeconfigUser:
    """A user of a kubeconfig, with all that its credentials may need.

    `fields` are as in the file; `key_pair` is its client certificate; `cluster_info` is for plugins
    with `provideClusterInfo`; a plugin gets `environ`, except for the tokens of a CI job.
    """

    fields: Mapping[str, Any] = field(repr=False)
    key_pair: KeyPair | None
    cluster_info: Mapping[str, Any]
    environ: Mapping[str, str] = field(repr=False)
    mask: SecretMask

    def build_credentials(self) -> CredentialProvider:
        """Choose credentials as client-go does: a token file, a token, a plugin, or none."""
        token = self.fields.get("token") or ""
        if not isinstance(token, str):
            raise ClusterError("token: must be text; put it in quotes")
        fixed = Credential(validate_token(token, "token") if token else "", self.key_pair)
        if self.fields.get("tokenFile"):
            return TokenFile(Path(_read_text(self.fields, "tokenFile")), fixed)
        spec = self.fields.get("exec")
        if token or not spec:
            return FixedCredentials(fixed)
        if not isinstance(spec, dict):
            raise ClusterError("exec: must be a mapping")
        return ExecCredentials(self._build_plugin(spec), self.key_pair, self.mask)

    def _build_plugin(self, spec: Mapping[str, Any]) -> ExecPlugin:
        command, version = spec.get("command"), spec.get("apiVersion")
        if not isinstance(command, str) or not command:
            raise ClusterError("exec.command: is missing")
        if version not in EXEC_API_VERSIONS:
            raise ClusterError(f"exec.apiVersion: must be one of {', '.join(EXEC_API_VERSIONS)}")
        if spec.get("interactiveMode") == "Always":
            raise ClusterError(
                "exec.interactiveMode: Always is not supported; plugins have no terminal"
            )
        return ExecPlugin(
            command=(command, *_parse_arguments(spec.get("args"))),
            api_version=version,
            environ={**build_child_environ(self.environ), **_parse_env(spec.get("env"))},
            cluster_info=self.cluster_info if spec.get("provideClusterInfo") is True else {},
            install_hint=str(spec.get("installHint") or ""),
        )


def _parse_arguments(values: object) -> tuple[str, ...]:
    listed = values if isinstance(values, list) else []
    return tuple(str(value) for value in listed)


def _parse_env(entries: object) -> Mapping[str, str]:
    listed = entries if isinstance(entries, list) else []
    try:
        return {str(entry["name"]): str(entry["value"]) for entry in listed}
    except (KeyError, TypeError) as error:
        raise ClusterError("exec.env: each entry needs a `name` and a `value`") from error


DEFAULT_CONNECTIONS: Final = 16
"""As many as there are threads by default; the default of pykube-ng is ten."""


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect.

    Attributes:
        environ: The program's environment: KUBECONFIG and HOME, a pod's KUBERNETES_SERVICE_*, the
            proxies; a credential plugin gets it without the tokens of a CI job.
        mask: Masks the secrets in every message.
        max_connections: How many connections are kept open: at least the number of threads.
        timeouts: Timeouts of every request.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: SecretMask = str
    max_connections: int = DEFAULT_CONNECTIONS
    timeouts: ConnectTimeouts = field(default_factory=ConnectTimeouts)


DEFAULT_CONNECT_OPTIONS: Final = ConnectOptions()
"""An empty environment: only a kubeconfig that is named is found."""


def connect(
    kubeconfig_file: str | None,
    context_name: str | None,
    options: ConnectOptions = DEFAULT_CONNECT_OPTIONS,
) -> KubeCluster:
    """Find the cluster as kubectl does, and prepare a connection; sends no request.

    Args:
        kubeconfig_file: The user's `--kubeconfig`, if any.
        context_name: The user's `--context`, if any.
        options: Environment, mask, connections and timeouts.

    Raises:
        ClusterError: No cluster is configured, or its configuration is invalid; names the file and
            the context, and the available ones.
    """
    rules = kubeconfig.LoadingRules(kubeconfig_file, context_name, options.environ)
    return connect_to(kubeconfig.resolve_context(rules), options)


def connect_to(context: ResolvedContext, options: ConnectOptions) -> KubeCluster:
    """Prepare a connection to the cluster of a context; ClusterError names the context."""
    try:
        return _build_cluster(context, options)
    except ClusterError as error:
        raise ClusterError(f"{context.origin}: {error}") from error


def _build_cluster(context: ResolvedContext, options: ConnectOptions) -> KubeCluster:
    url = _server_url(context.cluster)
    reject_unsupported_fields(context.user)
    config = _pykube_config(context)
    tls, key_pair = _read_tls_config(config), _read_key_pair(config)
    client = HTTPClient(config, http_adapter=TlsAdapter(tls, options.max_connections))
    # requests must not take authorities, proxies or credentials from the environment.
    client.session.trust_env = False
    client.session.headers.update(
        {
            "User-Agent": f"reconcile/{__version__}",
            "Accept": JSON_MEDIA_TYPE,
            "Accept-Encoding": "gzip",
        }
    )
    endpoint = ApiEndpoint(
        url,
        transport.choose_proxy(url, _read_text(context.cluster, "proxy-url"), options.environ),
        options.timeouts,
    )
    info = build_cluster_info(context.cluster, tls)
    user = KubeconfigUser(context.user, key_pair, info, options.environ, options.mask)
    return KubeCluster(ApiClient(client.session, endpoint, user.build_credentials(), options.mask))


def _read_text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key) or ""
    if not isinstance(value, str):
        raise ClusterError(f"{key}: must be text")
    return value


def _server_url(cluster: Mapping[str, Any]) -> str:
    url = _read_text(cluster, "server")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        usable = usable and url.isprintable()
    except ValueError:
        usable = False
    else:
        if parts.username is not None:
            raise ClusterError("server: a user in the URL is not supported; use a token")
    if not usable:
        raise ClusterError("server: must be a URL such as https://192.0.2.1:6443")
    return url.rstrip("/")


def _pykube_config(context: ResolvedContext) -> KubeConfig:
    name = "target"
    return KubeConfig(
        {
            "clusters": [{"name": name, "cluster": _drop_empty(context.cluster)}],
            "users": [{"name": name, "user": _drop_empty(context.user)}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def _drop_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Remove empty fields, which a kubeconfig may have instead of none."""
    return {key: value for key, value in fields.items() if value not in ("", None)}


def _read_tls_config(config: KubeConfig) -> TlsConfig:
    authorities = _read_content(config, "cluster", "certificate-authority")
    insecure = config.cluster.get("insecure-skip-tls-verify") is True
    if insecure and authorities:
        raise ClusterError(
            "insecure-skip-tls-verify and a certificate-authority exclude each other"
        )
    name = _read_text(config.cluster, "tls-server-name")
    return TlsConfig(authorities, name, verify=not insecure)


def _read_key_pair(config: KubeConfig) -> KeyPair | None:
    certificate = _read_content(config, "user", "client-certificate")
    key = _read_content(config, "user", "client-key")
    if bool(certificate) != bool(key):
        raise ClusterError("client-certificate and client-key: one of the two is missing")
    if not certificate:
        return None
    key_pair = KeyPair(certificate, key)
    # An invalid pair is an error here, which names the context, and not at the first request.
    load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), key_pair)
    return key_pair


def _read_content(config: KubeConfig, section: str, key: str) -> bytes:
    """Read a file or decode base64, both by pykube-ng; empty if the key is not set."""
    try:
        entry = getattr(config, section).get(key)
        content = None if entry is None else bytes(entry.bytes())
    except PyKubeError as error:
        raise ClusterError(f"{key}: {error}") from error
    except OSError as error:
        raise ClusterError(f"{key}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise ClusterError(f"{key}: not a file name or base64") from error
    if content is None:
        return b""
    if not content.strip():
        # An empty authority would mean those of the system, and an empty key pair no credentials.
        raise ClusterError(f"{key}: is empty")
    return content
