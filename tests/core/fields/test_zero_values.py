import pytest

from reconcile.core.fields.zero_values import is_equal_atomic, is_omitted_when_stored


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hostNetwork", False),
        ("workingDir", ""),
        ("priority", 0),
        ("args", []),
        ("matchLabels", {}),
        ("anything", None),
        ("automountServiceAccountToken", None),
    ],
)
def test_a_zero_value_is_as_good_as_absent(name, value):
    assert is_omitted_when_stored(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("automountServiceAccountToken", False),
        ("runAsUser", 0),
        ("storageClassName", ""),
        ("tolerationSeconds", 0),
        ("podSelector", {}),
        ("hostNetwork", True),
        ("workingDir", "/"),
    ],
)
def test_a_zero_value_of_a_pointer_says_something_as_every_other_value_does(name, value):
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
    ([{"ports": [{"port": 80}]}], [{"ports": [{"port": 80, "protocol": "TCP"}]}]),
]


@pytest.mark.parametrize(("declared", "live"), SAME)
def test_inside_an_atomic_value_what_the_server_fills_in_is_no_difference(declared, live):
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
        ({"podSelector": {}}, {"podSelector": {}, "namespaceSelector": {}}),
    ],
)
def test_inside_an_atomic_value_everything_else_is_a_difference(declared, live):
    assert not is_equal_atomic(declared, live)
