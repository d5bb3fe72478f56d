"""What a session asks for beyond itself: the rules in `spec.allow` of `policy.yaml`, and wishes.

A violation of the rules makes the session invalid. Where there are no rules, a wish is only warned
of; what `defaults.yaml` sets is the installation's decision, and not a wish.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from reconcile.core import bounds
from reconcile.core.model import CLOUD_ROLE_DOMAINS, AllowRules, ObjectMetadata, Session
from reconcile.core.source_location import DocumentPath
from reconcile.core.spec.field_types import BOOL, Field, ListType, MapType, ObjectType, identity
from reconcile.core.spec.formats import ALLOW_PATTERN, LABEL_NAME, QUALIFIED_NAME, QUANTITY

Violation: TypeAlias = tuple[DocumentPath, str]
"""The path in the session's document, and what is wrong."""

_PATTERN_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "images": (
        "images",
        (
            "Images of the runner and of templates: `registry.example.com/agents/*`; registry and "
            "path are compared separately."
        ),
    ),
    "secrets": ("secrets", "Names of Secrets."),
    "configMaps": ("config_maps", "Names of ConfigMaps."),
    "priorityClasses": ("priority_classes", "Names of priority classes."),
    "nodeSelectors": ("node_selectors", "Labels of nodes: keys, or `key=value`."),
    "tolerations": ("tolerations", "Keys of taints; only `*` allows to tolerate every taint."),
    "labels": ("labels", "Keys of labels of session files."),
    "annotations": (
        "annotations",
        (
            "Keys of annotations of session files; without this list, all but those that give a "
            "service account a role at a cloud provider."
        ),
    ),
    "repositoryHosts": ("repository_hosts", "Hosts of repositories: `github.com`."),
}
_SWITCHES: Final[Mapping[str, tuple[str, str, bool]]] = {
    "imageDigests": ("image_digests", "Whether each image must have a digest.", False),
    "serviceAccountToken": (
        "service_account_token",
        "Whether a pod may have a token for the Kubernetes API.",
        True,
    ),
    "hostAccess": (
        "host_access",
        (
            "Whether templates may use the node: host namespaces and paths, privileged containers, "
            "added capabilities."
        ),
        False,
    ),
}
_RULES: Final = (
    *(
        Field(name, ListType(ALLOW_PATTERN, identity), description)
        for name, (_, description) in _PATTERN_FIELDS.items()
    ),
    *(
        Field(name, BOOL, description, default)
        for name, (_, description, default) in _SWITCHES.items()
    ),
    Field(
        "maxResources",
        MapType(QUALIFIED_NAME, QUANTITY),
        "The highest request and limit of one container, for each resource; with this mapping, "
        "devices and huge pages that it does not name are not allowed.",
    ),
)

ALLOW: Final = ObjectType(
    (
        *_RULES,
        Field(
            "namespaces",
            MapType(LABEL_NAME, ObjectType(_RULES)),
            "Rules for one namespace, which replace those of the installation one by one.",
        ),
    )
)
"""The field table of `spec.allow`."""


def build_allow_rules(layer: Mapping[str, Any], base: AllowRules) -> AllowRules:
    """Replace the rules of `base` that the validated `layer` sets."""
    patterns = {
        attribute: tuple(layer[name])
        for name, (attribute, _) in _PATTERN_FIELDS.items()
        if name in layer
    }
    switches = {
        attribute: layer[name] for name, (attribute, *_) in _SWITCHES.items() if name in layer
    }
    denied = {"denied_annotations": ()} if "annotations" in layer else {}
    amounts = [(name, most) for name, most in layer.get("maxResources", {}).items() if most]
    ceilings = {"max_resources": tuple(sorted(amounts))} if "maxResources" in layer else {}
    changes: dict[str, Any] = {**patterns, **switches, **denied, **ceilings}
    return replace(base, **changes)


def find_storage_secrets(spec: Mapping[str, Any]) -> frozenset[str]:
    """Return the Secrets with keys of the store that a session's merged `spec` names."""
    storage = spec["storage"]
    return frozenset({storage["secretName"], storage["sharedSecretName"]} - {None})


def find_metadata_violations(metadata: ObjectMetadata, rules: AllowRules) -> Iterator[Violation]:
    """Yield the labels and annotations of a session's file that the rules do not allow."""
    for key in metadata.labels:
        yield from _report(("metadata", "labels", key), bounds.find_label_error(rules, key))
    for key in metadata.annotations:
        error = bounds.find_annotation_error(rules, key)
        yield from _report(("metadata", "annotations", key), error)


def find_bound_violations(
    session: Session, rules: AllowRules, storage_secrets: Collection[str]
) -> Iterator[Violation]:
    """Yield what the merged `spec` of a session asks for beyond the rules.

    `storage_secrets` are those of all sessions in the namespace: they are for mirrors alone.
    """
    spec = session.spec
    yield from _check_runner(spec["runner"], rules)
    yield from _check_runner_sources(spec["runner"], rules, storage_secrets)
    yield from _check_storage(spec["storage"], rules)
    for index, repository in enumerate(spec["repos"]):
        path = ("spec", "repos", index, "url")
        yield from _report(path, bounds.find_repository_error(rules, repository["url"]))
    workflow = spec["activeWorkflow"]["gitUrl"]
    if workflow:
        error = bounds.find_repository_error(rules, workflow)
        yield from _report(("spec", "activeWorkflow", "gitUrl"), error)
    yield from _check_credentials(spec["credentials"], rules, storage_secrets)
    for container in ("runner", "mirror"):
        for below, error in bounds.find_resource_errors(rules, spec[container]["resources"]):
            yield ("spec", container, "resources", *below), error


def _check_credentials(
    credentials: Iterable[Mapping[str, Any]], rules: AllowRules, storage_secrets: Collection[str]
) -> Iterator[Violation]:
    for index, credential in enumerate(credentials):
        path: DocumentPath = ("spec", "credentials", index)
        name, host = credential["secretName"], credential["host"]
        yield from _report((*path, "secretName"), bounds.find_secret_error(rules, name))
        if name in storage_secrets:
            yield (*path, "secretName"), _FOR_MIRRORS_ALONE.format(name)
        if host:
            yield from _report((*path, "host"), bounds.find_host_error(rules, host))


_FOR_MIRRORS_ALONE: Final = "Secret `{}` has keys of the store: only mirrors may use it"


def _report(path: DocumentPath, error: str) -> Iterator[Violation]:
    if error:
        yield path, error


def _check_runner(runner: Mapping[str, Any], rules: AllowRules) -> Iterator[Violation]:
    path = ("spec", "runner")
    yield from _report((*path, "image"), bounds.find_image_error(rules, runner["image"]))
    if runner["caConfigMapName"]:
        error = bounds.find_config_map_error(rules, runner["caConfigMapName"])
        yield from _report((*path, "caConfigMapName"), error)
    if runner["serviceAccountToken"]:
        yield from _report((*path, "serviceAccountToken"), bounds.find_token_error(rules))
    if runner["priorityClassName"]:
        error = bounds.find_priority_error(rules, runner["priorityClassName"])
        yield from _report((*path, "priorityClassName"), error)
    for key, value in runner["nodeSelector"].items():
        error = bounds.find_node_selector_error(rules, key, value)
        yield from _report((*path, "nodeSelector", key), error)
    for index, toleration in enumerate(runner["tolerations"]):
        error = bounds.find_toleration_error(rules, toleration)
        yield from _report((*path, "tolerations", index), error)


def _check_runner_sources(
    runner: Mapping[str, Any], rules: AllowRules, storage_secrets: Collection[str]
) -> Iterator[Violation]:
    for index, name in enumerate(runner["imagePullSecrets"]):
        path: DocumentPath = ("spec", "runner", "imagePullSecrets", index)
        yield from _report(path, bounds.find_secret_error(rules, name))
    for index, source in enumerate(runner["envFrom"]):
        for field, find_error in _SOURCES.items():
            if field not in source:
                continue
            name = source[field]["name"]
            path = ("spec", "runner", "envFrom", index, field, "name")
            yield from _report(path, find_error(rules, name))
            if field == "secretRef" and name in storage_secrets:
                yield path, _FOR_MIRRORS_ALONE.format(name)


_SOURCES: Final[Mapping[str, Callable[[AllowRules, str], str]]] = {
    "secretRef": bounds.find_secret_error,
    "configMapRef": bounds.find_config_map_error,
}


def _check_storage(storage: Mapping[str, Any], rules: AllowRules) -> Iterator[Violation]:
    secret, config_map = storage["secretName"], storage["caConfigMapName"]
    if storage["mode"] == "custom" and secret:
        path = ("spec", "storage", "secretName")
        yield from _report(path, bounds.find_secret_error(rules, secret))
    if storage["mode"] != "none" and config_map:
        path = ("spec", "storage", "caConfigMapName")
        yield from _report(path, bounds.find_config_map_error(rules, config_map))


_IDENTITY_DOMAINS: Final = (
    *CLOUD_ROLE_DOMAINS,
    "amazonaws.com",
    "cloud.google.com",
    "gke.io",
    "vault.hashicorp.com",
)
"""Labels and annotations below these, or below a part of them, give roles or inject Secrets."""

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
    metadata: ObjectMetadata, spec: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[Wish]:
    """Yield the wishes of a session for which the policy can have rules, but has none.

    These are what differs in its merged `spec` from its `defaults`. `metadata` is that of its file.
    """
    yield from _find_metadata_wishes(metadata)
    yield from find_pod_wishes(spec["runner"], defaults["runner"])
    for index, source in _new_items(spec, defaults, "runner", "envFrom"):
        name = source.get("secretRef", {}).get("name")
        if name is not None:
            yield f"spec.runner.envFrom[{index}]", f"gives the agent all keys of Secret `{name}`"
    for index, name in _new_items(spec, defaults, "runner", "imagePullSecrets"):
        yield f"spec.runner.imagePullSecrets[{index}]", f"pulls with the keys of Secret `{name}`"
    for index, credential in enumerate(spec["credentials"]):
        if credential not in defaults["credentials"]:
            name = credential["secretName"]
            yield f"spec.credentials[{index}]", f"gives the agent what is in Secret `{name}`"


def find_peer_wishes(spec: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Wish]:
    """Yield the peers that let many pods of other namespaces connect to the session."""
    for index, peer in _new_items(spec, defaults, "network", "allowFrom"):
        is_wide = peer.get("namespace") and not peer.get("podLabels")
        if is_wide or peer.get("namespaceLabels"):
            yield f"spec.network.allowFrom[{index}]", _WIDE_PEER


def _find_metadata_wishes(metadata: ObjectMetadata) -> Iterator[Wish]:
    for where, values in (("labels", metadata.labels), ("annotations", metadata.annotations)):
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
