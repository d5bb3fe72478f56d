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
_NAMED_ACCOUNT: Final = "kubernetes.io/service-account.name"
_MIRROR_PROGRAM: Final = "reconcile-mirror"
_RUNNER_PROGRAM: Final = "reconcile-runner"
"""The program of `prepare` and `bridge`, which has no setting for its resources."""

_UNCONFINED: Final = ("seccompProfile", "appArmorProfile")
_VOLUME_SECRETS: Final = ("secretRef", "nodePublishSecretRef")
"""Fields of volume types such as `csi` and `cephfs` that name a Secret."""


def find_forbidden_fields(
    body: Mapping[str, Any], session: Session, rules: AllowRules
) -> Iterator[Violation]:
    """Yield the fields of a rendered object that the rules do not allow."""
    metadata = as_mapping(body.get("metadata"))
    for key in as_mapping(metadata.get("annotations")):
        error = bounds.find_cloud_role_error(rules, str(key))
        if error:
            yield ("metadata", "annotations", str(key)), error
    account = as_mapping(metadata.get("annotations")).get(_NAMED_ACCOUNT)
    if body.get("kind") == "Secret" and account is not None:
        yield (
            ("metadata", "annotations", _NAMED_ACCOUNT),
            _find_token_secret_error(str(account), session, rules),
        )
    if body.get("kind") == "ServiceAccount":
        yield from _PodSpecCheck(session, rules, ()).check_pull_secrets(body)
    for path, spec in find_pod_specs(body):
        yield from _PodSpecCheck(session, rules, path).check(spec)


def _find_token_secret_error(account: str, session: Session, rules: AllowRules) -> str:
    if not is_own_name(account, session.id):
        return f"must be the session's own service account, not `{account}`"
    return bounds.find_token_error(rules)


class _PodSpecCheck:
    """The check of one pod spec."""

    def __init__(self, session: Session, rules: AllowRules, path: DocumentPath) -> None:
        self._session = session
        self._rules = rules
        self._path = path
        self._own_image = session.spec["image"]
        self._storage_secrets = find_storage_secrets(session.spec)

    def check(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield the paths of forbidden fields, each with the reason."""
        yield from self.check_pull_secrets(spec)
        for below, error in self._find_errors(spec):
            if error:
                yield (*self._path, *below), error

    def check_pull_secrets(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        """Yield the Secrets that a pod spec or a service account must not pull images with."""
        for index, reference in _mappings(spec.get("imagePullSecrets")):
            error = self._find_secret_error(reference)
            if error:
                yield (*self._path, "imagePullSecrets", index, "name"), error

    def _find_errors(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        yield from self._check_pod(spec)
        yield from self._check_scheduling(spec)
        yield from self._check_node_affinity(spec)
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
        context = as_mapping(spec.get("securityContext"))
        yield from self._check_security(context)
        if context.get("sysctls"):
            yield ("securityContext", "sysctls"), bounds.find_host_access_error(self._rules)

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

    def _check_node_affinity(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        path: DocumentPath = ("affinity", "nodeAffinity")
        affinity = as_mapping(as_mapping(spec.get("affinity")).get("nodeAffinity"))
        for term in _find_node_terms(affinity):
            for key, value in _selected_nodes(term):
                yield path, bounds.find_node_selector_error(self._rules, key, value)

    def _check_volumes(self, spec: Mapping[str, Any]) -> Iterator[Violation]:
        exposed = self._mounted_by_others(spec)
        for index, volume in _mappings(spec.get("volumes")):
            path: DocumentPath = ("volumes", index)
            if volume.get("hostPath") is not None:
                yield (*path, "hostPath"), bounds.find_host_access_error(self._rules)
            yield from self._check_volume_type(path, volume)
            sources = [((*path, *below), source) for below, source in _volume_sources(volume)]
            for below, source in sources:
                is_exposed = volume.get("name") in exposed
                yield from self._check_source(below, source, is_exposed=is_exposed)

    def _check_volume_type(
        self, path: DocumentPath, volume: Mapping[str, Any]
    ) -> Iterator[Violation]:
        image = as_mapping(volume.get("image")).get("reference")
        if image:
            yield (*path, "image", "reference"), bounds.find_image_error(self._rules, str(image))
        for name, source in volume.items():
            for field in _VOLUME_SECRETS:
                reference = as_mapping(as_mapping(source).get(field))
                if reference:
                    yield (*path, name, field), self._find_secret_error(reference)
        if as_mapping(volume.get("azureFile")).get("secretName"):
            reference = {"name": volume["azureFile"]["secretName"]}
            yield (*path, "azureFile", "secretName"), self._find_secret_error(reference)

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
        yield from self._check_inputs(container)
        yield from self._check_security(as_mapping(container.get("securityContext")))
        for index, port in _mappings(container.get("ports")):
            if port.get("hostPort"):
                yield ("ports", index, "hostPort"), bounds.find_host_access_error(self._rules)
        resources = as_mapping(container.get("resources"))
        # No setting is there to give them a limit that a policy demands beyond their own.
        is_limited = not self._runs(container, _RUNNER_PROGRAM)
        for below, error in bounds.find_resource_errors(
            self._rules, resources, is_limited=is_limited
        ):
            yield ("resources", *below), error

    def _check_inputs(self, container: Mapping[str, Any]) -> Iterator[Violation]:
        is_mirror = self._is_mirror(container)
        if container.get("image") and not (is_mirror or self._runs(container, _RUNNER_PROGRAM)):
            yield ("image",), bounds.find_image_error(self._rules, str(container["image"]))
        for index, variable in _mappings(container.get("env")):
            source = as_mapping(variable.get("valueFrom"))
            for below, error in self._check_reference(source, "Key", is_mirror=is_mirror):
                yield ("env", index, "valueFrom", *below), error
        for index, source in _mappings(container.get("envFrom")):
            for below, error in self._check_reference(source, "", is_mirror=is_mirror):
                yield ("envFrom", index, *below), error

    def _check_security(self, context: Mapping[str, Any]) -> Iterator[Violation]:
        windows = as_mapping(context.get("windowsOptions"))
        added = as_mapping(context.get("capabilities")).get("add") or ()
        unconfined = [
            name
            for name in _UNCONFINED
            if as_mapping(context.get(name)).get("type") == "Unconfined"
        ]
        fields: Mapping[DocumentPath, Any] = {
            ("privileged",): context.get("privileged"),
            ("capabilities", "add"): [each for each in added if each != "NET_BIND_SERVICE"],
            ("procMount",): context.get("procMount", "Default") != "Default",
            ("windowsOptions", "hostProcess"): windows.get("hostProcess"),
            ("seLinuxOptions",): as_mapping(context.get("seLinuxOptions")).get("type"),
            **{(name,): True for name in unconfined},
        }
        for path, is_set in fields.items():
            if is_set:
                yield ("securityContext", *path), bounds.find_host_access_error(self._rules)

    def _check_reference(
        self, source: Mapping[str, Any], infix: str, *, is_mirror: bool
    ) -> Iterator[Violation]:
        secret, config_map = f"secret{infix}Ref", f"configMap{infix}Ref"
        reference = as_mapping(source.get(secret))
        if reference and not (is_mirror and reference.get("name") in self._storage_secrets):
            yield (secret, "name"), self._find_secret_error(reference)
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
        return self._runs(container, _MIRROR_PROGRAM)

    def _runs(self, container: Mapping[str, Any], program: str) -> bool:
        """Return whether a container of our own image runs a program of ours."""
        command = container.get("command") or [_MIRROR_PROGRAM]
        is_image = bool(self._own_image) and container.get("image") == self._own_image
        return is_image and isinstance(command, list) and command[0] == program


def _find_node_terms(affinity: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    required = as_mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution")
    yield from (term for _, term in _mappings(required.get("nodeSelectorTerms")))
    yield from (as_mapping(each.get("preference")) for _, each in _mappings(preferred))


def _selected_nodes(term: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the labels of nodes that a term selects; `*` stands for all values but some."""
    for _, each in _mappings(term.get("matchExpressions")):
        values = each.get("values") if each.get("operator") == "In" else None
        for value in values if isinstance(values, list) else ["*"]:
            yield str(each.get("key")), str(value)
    for _, each in _mappings(term.get("matchFields")):
        for value in each.get("values") or ["*"]:
            yield "kubernetes.io/hostname", str(value)


def _volume_sources(
    volume: Mapping[str, Any],
) -> Iterator[tuple[DocumentPath, Mapping[str, Any]]]:
    yield (), volume
    for index, source in _mappings(as_mapping(volume.get("projected")).get("sources")):
        yield ("projected", "sources", index), source


def _mappings(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if isinstance(value, list):
        yield from ((index, item) for index, item in enumerate(value) if isinstance(item, Mapping))
