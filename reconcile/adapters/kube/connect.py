"""From a kubeconfig to a `KubeCluster`."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from pykube.config import KubeConfig
from pykube.exceptions import PyKubeError
from pykube.http import HTTPClient

from reconcile import __version__
from reconcile.adapters.kube import identity, kubeconfig_part, proxy
from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.credentials import KeyPair
from reconcile.adapters.kube.kubeconfig import Target
from reconcile.adapters.kube.tls import TlsAdapter, Trust, load
from reconcile.adapters.kube.transport import JSON, Limits, Server, Wire
from reconcile.adapters.kube.wording import Mask
from reconcile.core.errors import ClusterError

CONNECTIONS: Final = 16
"""As many as threads write at a time; pykube-ng keeps ten."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to connect.

    Attributes:
        environ: The program's environment: KUBECONFIG and HOME, a pod's KUBERNETES_SERVICE_*, the
            proxies; a credential plugin gets all of it.
        mask: Takes secrets out of every message.
        connections: How many are kept open: at least the number of threads.
        limits: Timeouts.
    """

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = str
    connections: int = CONNECTIONS
    limits: Limits = field(default_factory=Limits)


DEFAULTS: Final = Options()
"""An empty environment: no file is found unless it is named."""


def connect(
    kubeconfig_file: str | None, context_name: str | None, options: Options = DEFAULTS
) -> KubeCluster:
    """Find the cluster as kubectl does and make ready to talk to it; sends nothing yet.

    Args:
        kubeconfig_file: The user's `--kubeconfig`, if any.
        context_name: The user's `--context`, if any.
        options: The rest.

    Raises:
        ClusterError: No cluster is configured, or its configuration is unusable; names the file and
            the context, and what is known instead.
    """
    where = kubeconfig_part.Where(kubeconfig_file, context_name, options.environ)
    return open_target(kubeconfig_part.find(where), options)


def open_target(target: Target, options: Options) -> KubeCluster:
    """Make ready to talk to a cluster that was found; ClusterError with the target's origin."""
    try:
        return _open(target, options)
    except ClusterError as error:
        raise ClusterError(f"{target.origin}: {error}") from error


def _open(target: Target, options: Options) -> KubeCluster:
    url = _server_url(target.cluster)
    identity.refuse_unsupported(target.user)
    config = _pykube_config(target)
    trust, keys = _trust(config), _keys(config)
    client = HTTPClient(config, http_adapter=TlsAdapter(trust, options.connections))
    # The environment must change neither the authorities, nor the proxy, nor the credentials.
    client.session.trust_env = False
    client.session.headers.update(
        {"User-Agent": f"reconcile/{__version__}", "Accept": JSON, "Accept-Encoding": "gzip"}
    )
    server = Server(
        url,
        proxy.choose(url, str(target.cluster.get("proxy-url") or ""), options.environ),
        options.limits,
    )
    about = identity.cluster_info(target.cluster, trust)
    user = identity.User(target.user, keys, about, options.environ, options.mask)
    return KubeCluster(Wire(client.session, server, user.credentials(), options.mask))


def _server_url(cluster: Mapping[str, Any]) -> str:
    url = str(cluster.get("server") or "")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    else:
        if parts.username is not None:
            raise ClusterError("server: a user in the URL is not supported; use a token")
    if not usable:
        raise ClusterError("server: must be a URL such as https://192.0.2.1:6443")
    return url.rstrip("/")


def _pykube_config(target: Target) -> KubeConfig:
    name = "target"
    return KubeConfig(
        {
            "clusters": [{"name": name, "cluster": _set(target.cluster)}],
            "users": [{"name": name, "user": _set(target.user)}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )


def _set(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, which a kubeconfig may have for what is not there."""
    return {key: value for key, value in fields.items() if value not in ("", None)}


def _trust(config: KubeConfig) -> Trust:
    authorities = _content(config, "cluster", "certificate-authority")
    insecure = config.cluster.get("insecure-skip-tls-verify") is True
    if insecure and authorities:
        raise ClusterError(
            "insecure-skip-tls-verify and a certificate-authority exclude each other"
        )
    name = str(config.cluster.get("tls-server-name") or "")
    return Trust(authorities, name, verify=not insecure)


def _keys(config: KubeConfig) -> KeyPair | None:
    certificate = _content(config, "user", "client-certificate")
    key = _content(config, "user", "client-key")
    if bool(certificate) != bool(key):
        raise ClusterError("client-certificate and client-key: one of the two is missing")
    if not certificate:
        return None
    keys = KeyPair(certificate, key)
    # An unusable pair is found here, where its context can be named, not with the first request.
    load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), keys)
    return keys


def _content(config: KubeConfig, section: str, key: str) -> bytes:
    """Read what a file name or base64 stands for, both resolved by pykube-ng; empty if not set."""
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
        # An empty authority would else mean the system's, and an empty key pair nobody's.
        raise ClusterError(f"{key}: is empty")
    return content
