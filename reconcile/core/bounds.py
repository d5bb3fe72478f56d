"""Compares single values with the rules in `spec.allow` of `policy.yaml`.

Each function returns what is wrong, or an empty text. Messages name the rule and who may change it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urlsplit

from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.model import AllowRules

ANY_TAINT: Final = "*"
"""Stands for the key of a toleration without one, which tolerates every taint."""

_SCP_URL: Final = re.compile(r"[^/:@]*@(\[[^\]]*\]|[^/:]+):")
_DIGEST: Final = "@sha256:"
_DOCKER_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


def describe_rule(field: str) -> str:
    """Say which rule would have to change, and who may change it."""
    return f"the owners of policy.yaml can allow it in `spec.allow.{field}`"


def find_image_error(rules: AllowRules, image: str) -> str:
    """Check an image against the patterns; Docker Hub's registry may be left out in both.

    Registry and path are compared separately, so that `*` in one never stands for a part of both.
    """
    registry, _, path = _full_image_name(image).partition("/")
    if not any(_matches_image(registry, path, pattern) for pattern in rules.images):
        return f"`{image}` is not an allowed image: {describe_rule('images')}"
    if rules.image_digests and _DIGEST not in image:
        return f"`{image}` has no digest, which `spec.allow.imageDigests` in policy.yaml requires"
    return ""


def _matches_image(registry: str, path: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    registries, _, paths = _full_image_name(pattern).partition("/")
    return fnmatchcase(registry, registries) and fnmatchcase(path, paths)


def _full_image_name(image: str) -> str:
    first, slash, rest = image.partition("/")
    if first in _DOCKER_HUB:
        return _full_image_name(rest) if "/" not in rest else f"docker.io/{rest}"
    if slash and (not {".", ":", "*", "?"}.isdisjoint(first) or first == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def find_secret_error(rules: AllowRules, name: str) -> str:
    """Check the name of a Secret."""
    return _find_name_error(name, rules.secrets, "Secret", "secrets")


def find_config_map_error(rules: AllowRules, name: str) -> str:
    """Check the name of a ConfigMap."""
    return _find_name_error(name, rules.config_maps, "ConfigMap", "configMaps")


def find_priority_error(rules: AllowRules, name: str) -> str:
    """Check the name of a priority class."""
    return _find_name_error(name, rules.priority_classes, "priority class", "priorityClasses")


def find_label_error(rules: AllowRules, key: str) -> str:
    """Check the key of a label that a session's objects get."""
    return _find_name_error(key, rules.labels, "label", "labels")


def find_annotation_error(rules: AllowRules, key: str) -> str:
    """Check the key of an annotation that a session's objects get."""
    error = find_cloud_role_error(rules, key)
    return error or _find_name_error(key, rules.annotations, "annotation", "annotations")


def find_cloud_role_error(rules: AllowRules, key: str) -> str:
    """Check whether an annotation gives a role at a cloud provider."""
    if not _matches(key, rules.denied_annotations):
        return ""
    return f"gives the session a role at a cloud provider: {describe_rule('annotations')}"


def find_node_selector_error(rules: AllowRules, key: str, value: str) -> str:
    """Check one label of a node selector; a pattern is that of a key or of `key=value`."""
    if _matches(key, rules.node_selectors):
        return ""
    return _find_name_error(
        f"{key}={value}", rules.node_selectors, "node selector", "nodeSelectors"
    )


def find_toleration_error(rules: AllowRules, toleration: Mapping[str, Any]) -> str:
    """Check the taint's key; a toleration of every taint needs the pattern `*`."""
    key = str(toleration.get("key") or ANY_TAINT)
    return _find_name_error(key, rules.tolerations, "taint", "tolerations")


def find_repository_error(rules: AllowRules, url: str) -> str:
    """Check the host of a repository's URL, such as https://host/path or user@host:path."""
    scp = _SCP_URL.match(url)
    return find_host_error(rules, scp[1].strip("[]") if scp else urlsplit(url).hostname or "")


def find_host_error(rules: AllowRules, host: str) -> str:
    """Check the host of repositories."""
    patterns = [pattern.lower() for pattern in rules.repository_hosts]
    return _find_name_error(
        host.lower().removesuffix("."), patterns, "repository host", "repositoryHosts"
    )


def find_token_error(rules: AllowRules) -> str:
    """Check whether a token for the Kubernetes API may be mounted."""
    return "" if rules.service_account_token else _not_allowed("serviceAccountToken")


def find_host_access_error(rules: AllowRules) -> str:
    """Check whether a template may give access to the node or to the pod's other processes."""
    return "" if rules.host_access else _not_allowed("hostAccess")


def _not_allowed(field: str) -> str:
    return f"is not allowed: {describe_rule(field)}"


def find_resource_errors(
    rules: AllowRules, resources: Mapping[str, Any], *, is_limited: bool = True
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path below `resources`, and the error, of amounts above the highest allowed one.

    A container that has no limit for CPU, memory or local storage could use all of the node's; only
    a program that needs no limit may leave one out, without `is_limited`. If there are ceilings,
    devices and huge pages without one are not allowed at all.
    """
    yield from _find_unlisted_resources(rules, resources)
    for name, ceiling in rules.max_resources:
        for group in ("requests", "limits"):
            amount = (resources.get(group) or {}).get(name)
            if amount is not None and _parse(amount) > _parse(ceiling):
                message = f"is more than {ceiling}: {describe_rule(f'maxResources.{name}')}"
                yield (group, name), message
        is_missing = (resources.get("limits") or {}).get(name) is None
        if is_limited and is_missing and name in _SHARED_RESOURCES:
            yield ("limits", name), f"is missing, and `spec.allow.maxResources` is {ceiling}"


def _find_unlisted_resources(
    rules: AllowRules, resources: Mapping[str, Any]
) -> Iterator[tuple[tuple[str, ...], str]]:
    listed = {name for name, _ in rules.max_resources} | _SHARED_RESOURCES
    for group in ("requests", "limits") if rules.max_resources else ():
        for name, amount in (resources.get(group) or {}).items():
            if name not in listed and amount is not None:
                yield (group, name), _not_allowed(f"maxResources.{name}")


_SHARED_RESOURCES: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


def _parse(amount: Any) -> Fraction:
    return parse_quantity(str(amount)) or Fraction()


def _find_name_error(name: str, patterns: Sequence[str], what: str, field: str) -> str:
    return "" if _matches(name, patterns) else f"{what} `{name}` {_not_allowed(field)}"


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
