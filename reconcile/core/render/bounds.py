"""Checks rendered objects against the rules of the policy, since templates can ask for more.

A session's own objects, and those that its mirror uses, need no rule.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from reconcile.core import bounds
from reconcile.core.fields.merge_schema import CONTAINER_LISTS, find_pod_specs
from reconcile.core.model import AllowRules, Session
from reconcile.core.render.validate import as_mapping, is_own_name
from reconcile.core.source_location import DocumentPath
from reconcile.core.spec.bounds import Violation, find_storage_secrets

_HOST_FIELDS: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
_DEFAULT_ACCOUNT: Final = "default"
"""The account of a pod that names none; its token is mounted unless the pod says otherwise."""


def find_forbidden_fields(
    body: Mapping[str, Any], session: Session, rules: AllowRules
) -> Iterator[Violation]:
    """Yield the fields of a rendered object that the rules do not allow."""
    metadata = as_mapping(body.get("metadata"))
    for key in as_mapping(metadata.get("annotations")):
        error = bounds.find_cloud_role_error(rules, str(key))
        if error:
            yield ("metadata", "annotations", str(key)), error
    for path, spec in find_pod_specs(body):
        yield from _PodSpecCheck(session, rules, path).check(spec)


class _PodSpecCheck:
    """The check of one pod spec."""

    def __init__(self, session: Session, rules: AllowRules, path: DocumentPath) -> None:
        self._session = session
        self._rules = rules
        self._path = path
        self._mirror_image = session.spec["mirror"]["image"]
        self._storage_secrets = find_storage_secrets(session.spec)

    def check(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield the paths of forbidden fields, each with the reason."""
        for below, error in self._find_errors(spec):
            if error:
                yield (*self._path, *below), error

    def _find_errors(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        yield from self._check_pod(spec)
        yield from self._check_scheduling(spec)
        yield from self._check_volumes(spec)
        for group in CONTAINER_LISTS:
            for index, container in _mappings(spec.get(group)):
                for below, error in self._check_container(container):
                    yield (group, index, *below), error

    def _check_pod(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        for field in _HOST_FIELDS:
            if spec.get(field):
                yield (field,), bounds.find_host_access_error(self._rules)
        for field in ("serviceAccountName", "serviceAccount"):
            name = spec.get(field) or _DEFAULT_ACCOUNT
            if name != _DEFAULT_ACCOUNT and not self._is_own(name):
                yield (field,), f"must be the session's own service account, not `{name}`"
        account = spec.get("serviceAccountName") or spec.get("serviceAccount") or _DEFAULT_ACCOUNT
        if spec.get("automountServiceAccountToken", account == _DEFAULT_ACCOUNT):
            yield ("automountServiceAccountToken",), bounds.find_token_error(self._rules)
        for index, reference in _mappings(spec.get("imagePullSecrets")):
            yield ("imagePullSecrets", index, "name"), self._find_secret_error(reference)

    def _check_scheduling(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        if spec.get("priorityClassName"):
            error = bounds.find_priority_error(self._rules, str(spec["priorityClassName"]))
            yield ("priorityClassName",), error
        if spec.get("nodeName"):
            key = "kubernetes.io/hostname"
            error = bounds.find_node_selector_error(self._rules, key, str(spec["nodeName"]))
            yield ("nodeName",), error
        for key, value in as_mapping(spec.get("nodeSelector")).items():
            error = bounds.find_node_selector_error(self._rules, str(key), str(value))
            yield ("nodeSelector", str(key)), error
        for index, toleration in _mappings(spec.get("tolerations")):
            yield ("tolerations", index), bounds.find_toleration_error(self._rules, toleration)

    def _check_volumes(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        exposed = self._mounted_by_others(spec)
        for index, volume in _mappings(spec.get("volumes")):
            path: DocumentPath = ("volumes", index)
            if volume.get("hostPath") is not None:
                yield (*path, "hostPath"), bounds.find_host_access_error(self._rules)
            sources = [((*path, *below), source) for below, source in _volume_sources(volume)]
            for below, source in sources:
                is_exposed = volume.get("name") in exposed
                yield from self._check_source(below, source, is_exposed=is_exposed)

    def _mounted_by_others(self, spec: Mapping[str, Any]) -> frozenset[str]:
        """Return the volumes that containers other than the mirror's mount."""
        return frozenset(
            str(mount.get("name"))
            for group in CONTAINER_LISTS
            for _, container in _mappings(spec.get(group))
            if not self._is_mirror(container)
            for field in ("volumeMounts", "volumeDevices")
            for _, mount in _mappings(container.get(field))
        )

    def _check_source(
        self, path: DocumentPath, source: Mapping[str, Any], *, is_exposed: bool
    ) -> Iterator[Violation]:
        secret, config_map = as_mapping(source.get("secret")), as_mapping(source.get("configMap"))
        name = secret.get("secretName") or secret.get("name")
        if name and (is_exposed or name not in self._storage_secrets):
            yield (*path, "secret"), self._find_secret_error({"name": name})
        if config_map.get("name"):
            yield (*path, "configMap"), self._find_config_map_error(config_map)
        if is_exposed and source.get("serviceAccountToken") is not None:
            yield (*path, "serviceAccountToken"), bounds.find_token_error(self._rules)

    def _check_container(self, container: Mapping[str, Any]) -> Iterator[Violation]:
        if not self._is_mirror(container):
            yield from self._check_inputs(container)
        yield from self._check_security(as_mapping(container.get("securityContext")))
        for index, port in _mappings(container.get("ports")):
            if port.get("hostPort"):
                yield ("ports", index, "hostPort"), bounds.find_host_access_error(self._rules)
        resources = as_mapping(container.get("resources"))
        for below, error in bounds.find_resource_errors(self._rules, resources):
            yield ("resources", *below), error

    def _check_inputs(self, container: Mapping[str, Any]) -> Iterator[Violation]:
        if container.get("image"):
            yield ("image",), bounds.find_image_error(self._rules, str(container["image"]))
        for index, variable in _mappings(container.get("env")):
            for below, error in self._check_reference(as_mapping(variable.get("valueFrom")), "Key"):
                yield ("env", index, "valueFrom", *below), error
        for index, source in _mappings(container.get("envFrom")):
            for below, error in self._check_reference(source, ""):
                yield ("envFrom", index, *below), error

    def _check_security(self, context: Mapping[str, Any]) -> Iterator[Violation]:
        windows = as_mapping(context.get("windowsOptions"))
        added = as_mapping(context.get("capabilities")).get("add") or ()
        fields: Mapping[DocumentPath, Any] = {
            ("privileged",): context.get("privileged"),
            ("capabilities", "add"): set(added) - {"NET_BIND_SERVICE"},
            ("procMount",): context.get("procMount", "Default") != "Default",
            ("windowsOptions", "hostProcess"): windows.get("hostProcess"),
        }
        for path, is_set in fields.items():
            if is_set:
                yield ("securityContext", *path), bounds.find_host_access_error(self._rules)

    def _check_reference(self, source: Mapping[str, Any], infix: str) -> Iterator[Violation]:
        secret, config_map = f"secret{infix}Ref", f"configMap{infix}Ref"
        if source.get(secret) is not None:
            yield (secret, "name"), self._find_secret_error(as_mapping(source[secret]))
        if source.get(config_map) is not None:
            yield (config_map, "name"), self._find_config_map_error(as_mapping(source[config_map]))

    def _find_secret_error(self, reference: Mapping[str, Any]) -> str:
        name = str(reference.get("name"))
        if name in self._storage_secrets:
            return f"Secret `{name}` has keys of the store: only the mirror may use it"
        return "" if self._is_own(name) else bounds.find_secret_error(self._rules, name)

    def _find_config_map_error(self, reference: Mapping[str, Any]) -> str:
        name = str(reference.get("name"))
        is_known = self._is_own(name) or name == self._session.spec["storage"]["caConfigMapName"]
        return "" if is_known else bounds.find_config_map_error(self._rules, name)

    def _is_own(self, name: Any) -> bool:
        return is_own_name(str(name), self._session.id)

    def _is_mirror(self, container: Mapping[str, Any]) -> bool:
        return bool(self._mirror_image) and container.get("image") == self._mirror_image


def _volume_sources(
    volume: Mapping[str, Any],
) -> Iterator[tuple[DocumentPath, Mapping[str, Any]]]:
    yield (), volume
    for index, source in _mappings(as_mapping(volume.get("projected")).get("sources")):
        yield ("projected", "sources", index), source


def _mappings(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, list):
        yield from ((index, item) for index, item in enumerate(value) if isinstance(item, Mapping))
