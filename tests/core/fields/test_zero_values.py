import pytest

from reconcile.core.fields.zero_values import (
    POINTER_FIELDS,
    is_equal_atomic,
    is_omitted_when_stored,
    normalize_stored,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hostNetwork", False),
        ("workingDir", ""),
        ("weight", 0),
        ("args", []),
        ("matchLabels", {}),
        ("anything", None),
        ("automountServiceAccountToken", None),
    ],
)
def test_a_zero_value_equals_absence(name, value):
    assert is_omitted_when_stored(name, value)


ZERO_MEANS = {
    "activeDeadlineSeconds": (0, "the server refuses 0; absent means no deadline"),
    "allowPrivilegeEscalation": (False, "absent allows it"),
    "automountServiceAccountToken": (False, "absent mounts the token"),
    "blockOwnerDeletion": (False, "our owner references declare it, and the server stores it"),
    "controller": (False, "stored in an owner reference of another program"),
    "defaultMode": (0, "absent becomes 0644"),
    "deletionGracePeriodSeconds": (0, "a pod that is killed at once"),
    "emptyDir": ({}, "the only field of a volume: without it the volume has no source"),
    "enableServiceLinks": (False, "absent becomes true"),
    "expirationSeconds": (0, "the server refuses 0; absent becomes 3600"),
    "fsGroup": (0, "the group root; absent changes no group"),
    "fsGroupChangePolicy": ("", "the server refuses an empty text; absent means Always"),
    "immutable": (False, "stored in a ConfigMap or Secret"),
    "mode": (0, "absent takes the volume's defaultMode"),
    "namespaceSelector": ({}, "selects all namespaces; absent selects the policy's own"),
    "optional": (False, "stored in a reference to a ConfigMap or Secret"),
    "podSelector": ({}, "selects all pods; absent leaves the choice to namespaceSelector"),
    "preemptionPolicy": ("", "the server refuses an empty text; absent is set by admission"),
    "priority": (0, "absent is set by admission, which stores 0 too"),
    "privileged": (False, "stored in a container's security context"),
    "readOnlyRootFilesystem": (False, "stored in a container's security context"),
    "runAsGroup": (0, "the group root; absent takes the image's group"),
    "runAsNonRoot": (False, "overrides true in the pod's security context"),
    "runAsUser": (0, "root; absent takes the image's user"),
    "setHostnameAsFQDN": (False, "stored in a pod's spec"),
    "shareProcessNamespace": (False, "stored in a pod's spec"),
    "storageClassName": ("", "no storage class; absent takes the cluster's default"),
    "terminationGracePeriodSeconds": (0, "kills at once; absent becomes 30"),
    "tolerationSeconds": (0, "evicts at once; absent tolerates for ever"),
    "volumeMode": ("", "the server refuses an empty text; absent becomes Filesystem"),
}
"""Each field whose zero value is stored: the zero value, and how it differs from absence."""


def test_every_pointer_field_has_a_reason():
    assert ZERO_MEANS.keys() == POINTER_FIELDS


@pytest.mark.parametrize("name", ZERO_MEANS)
def test_a_zero_value_of_a_pointer_is_stored_and_differs_from_absence(name):
    value, _ = ZERO_MEANS[name]
    assert not is_omitted_when_stored(name, value)
    assert normalize_stored({name: value}) == {name: value}
    assert not is_equal_atomic({name: value}, {})
    assert is_omitted_when_stored(name, None)
    assert normalize_stored({name: None}) == {}


@pytest.mark.parametrize(("name", "value"), [("hostNetwork", True), ("workingDir", "/")])
def test_a_value_other_than_zero_is_stored(name, value):
    assert not is_omitted_when_stored(name, value)


SAME = [
    ([], []),
    ({"name": "a"}, {"name": "a"}),
    ({"port": 80}, {"port": 80, "protocol": "TCP"}),
    ({"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "TCP"}),
    ({"fieldPath": "metadata.name"}, {"fieldPath": "metadata.name", "apiVersion": "v1"}),
    ({"resource": "limits.cpu"}, {"resource": "limits.cpu", "divisor": "0"}),
    ({"path": "t"}, {"path": "t", "expirationSeconds": 3600}),
    ({"kind": "User"}, {"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}),
    ({"a": 1, "hostNetwork": False}, {"a": 1}),
    ({"a": 1}, {"a": 1, "status": {}}),
    ({"selector": {"matchLabels": {}}}, {"selector": {}}),
    ({"requests": {"cpu": "0.0005"}}, {"requests": {"cpu": "1m"}}),
    ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1073741824"}}),
    ({"sizeLimit": "1024Mi"}, {"sizeLimit": "1Gi"}),
    ([{"ports": [{"port": 80}]}], [{"ports": [{"port": 80, "protocol": "TCP"}]}]),
]


@pytest.mark.parametrize(("declared", "live"), SAME)
def test_inside_an_atomic_value_a_server_default_is_not_a_difference(declared, live):
    assert is_equal_atomic(declared, live)


@pytest.mark.parametrize(
    ("declared", "live"),
    [
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ([1], {"a": 1}),
        ({"a": 1}, [1]),
        ("a", "b"),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({}, {"a": 1}),
        ({"port": 80}, {"port": 80, "protocol": "UDP"}),
        ({"key": "a"}, {"key": "a", "tolerationSeconds": 0}),
        ({"podSelector": {}}, {"namespaceSelector": {}}),
        ({"selector": {"app": ""}}, {"selector": {}}),
        ({"requests": {"cpu": "1"}}, {"requests": {"cpu": "1", "memory": "1Gi"}}),
        ({"requests": {"cpu": "1"}}, {"requests": ["cpu"]}),
        ({"limits": {"cpu": "1"}}, {"limits": {"cpu": "2"}}),
        ({"podSelector": {}}, {"podSelector": {}, "namespaceSelector": {}}),
    ],
)
def test_inside_an_atomic_value_everything_else_is_a_difference(declared, live):
    assert not is_equal_atomic(declared, live)
