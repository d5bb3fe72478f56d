"""Wishes of a session that reach beyond it: they are valid, but a reviewer should know them.

What `defaults.yaml` sets is the installation's decision; a wish is what differs from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

_IDENTITY_DOMAINS: Final = (
    "amazonaws.com",
    "azure.workload.identity",
    "cloud.google.com",
    "gke.io",
    "vault.hashicorp.com",
)
"""Labels and annotations below these give cloud roles or inject Secrets."""

_POWERFUL_DOMAINS: Final = (
    "apparmor.security.beta.kubernetes.io",
    "cni.cncf.io",
    "istio.io",
    "karpenter.sh",
    "kubernetes.io",
    "linkerd.io",
)
"""Labels and annotations below these change what the cluster does with a pod."""

_APP_LABELS: Final = frozenset(
    {"app", "app.kubernetes.io/instance", "app.kubernetes.io/name", "component", "k8s-app", "name"}
    | {"app.kubernetes.io/component", "app.kubernetes.io/part-of", "role", "run", "service", "tier"}
)
"""Labels by which Services and network policies usually select their pods."""

_WIDE_PEER: Final = (
    "lets many pods of other namespaces connect, which can make the agent work with the session's "
    "credentials: name one namespace and `podLabels`"
)

Wish = tuple[str, str]
"""A field, and why it reaches beyond the session."""


def find_wishes(
    metadata: Mapping[str, Mapping[str, str]], spec: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[Wish]:
    """Yield the wishes of a session for which the policy can have rules, but has none.

    These are what differs in its merged `spec` from its `defaults`. `metadata` has the session's
    `labels` and `annotations`.
    """
    yield from _find_metadata_wishes(metadata)
    yield from find_pod_wishes(spec["runner"], defaults["runner"])
    for index, source in _new_items(spec, defaults, "runner", "envFrom"):
        name = source.get("secretRef", {}).get("name")
        if name is not None:
            yield f"spec.runner.envFrom[{index}]", f"gives the agent all keys of Secret `{name}`"
    for index, name in _new_items(spec, defaults, "runner", "imagePullSecrets"):
        yield f"spec.runner.imagePullSecrets[{index}]", f"pulls with the keys of Secret `{name}`"


def find_peer_wishes(spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Wish]:
    """Yield the peers that let many pods of other namespaces connect to the session."""
    for index, peer in _new_items(spec, defaults, "network", "allowFrom"):
        is_wide = peer.get("namespace") and not peer.get("podLabels")
        if is_wide or peer.get("namespaceLabels"):
            yield f"spec.network.allowFrom[{index}]", _WIDE_PEER


def _find_metadata_wishes(metadata: Mapping[str, Mapping[str, str]]) -> Iterator[Wish]:
    for where, values in metadata.items():
        for key in values:
            message = _explain_key(where, key)
            if message:
                yield f"metadata.{where}[{key}]", message


def _explain_key(where: str, key: str) -> str:
    domain, slash, _ = key.rpartition("/")
    if where == "labels" and key in _APP_LABELS:
        return (
            "is a label by which Services and network policies of other applications may select "
            "the pod"
        )
    if slash and _is_below(domain, _IDENTITY_DOMAINS):
        return "can give the pod a cloud role or Secrets that it would not have otherwise"
    if slash and _is_below(domain, _POWERFUL_DOMAINS):
        return "is read by the cluster, and can change how the pod is run, connected or removed"
    return ""


def _is_below(domain: str, parents: Iterable[str]) -> bool:
    return any(domain == parent or domain.endswith(f".{parent}") for parent in parents)


def find_pod_wishes(runner: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Wish]:
    """Yield what a `runner` wishes for its pod, but not its Secrets; `defaults` are not wishes."""
    reasons = {
        "priorityClassName": "can evict the pods of others from their nodes",
        "nodeSelector": "chooses nodes that may be reserved for others",
        "tolerations": "lets the pod run on nodes that are reserved for others",
        "serviceAccountToken": "mounts a token for the Kubernetes API, which the agent can read",
    }
    for name, reason in reasons.items():
        if runner[name] and runner[name] != defaults[name]:
            yield f"spec.runner.{name}", reason


def _new_items(
    spec: Mapping[str, Any], defaults: Mapping[str, Any], section: str, name: str
) -> Iterator[tuple[int, Any]]:
    known = defaults[section][name] or []
    for index, item in enumerate(spec[section][name] or []):
        if item not in known:
            yield index, item
