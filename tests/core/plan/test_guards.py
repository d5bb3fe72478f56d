"""Fields that decide who may reach or do something are ours, also where we declare nothing."""

import copy
from typing import Any

import pytest

from reconcile.core.changes import Drift, Patch
from reconcile.core.model import OnConflict, Policy
from reconcile.core.plan.live_state import InSync, OutOfSync, compare
from reconcile.core.plan.offline import simulate_live
from tests.builders import body, desired, live_session, manage, manifest, plan, service, wanted

NETWORKING = "networking.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"
MINE = {"matchLabels": {"app": "a"}}


def network_policy(**spec):
    return body("NetworkPolicy", "n", NETWORKING, spec={"podSelector": MINE, **spec})


def role(**fields):
    return body("Role", "r", RBAC, **fields)


def binding(**fields):
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    return body("RoleBinding", "b", RBAC, roleRef=reference, **fields)


PEER = {"podSelector": {"matchLabels": {"app": "ui"}}}
PORT = {"port": 8001, "protocol": "TCP"}
RULE = {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}
GROUP = {"kind": "Group", "name": "all", "apiGroup": "rbac.authorization.k8s.io"}

OPENED = {
    "ingress for everybody": (network_policy(), ("spec", "ingress"), [{}]),
    "ingress from other peers": (network_policy(), ("spec", "ingress"), [{"from": [PEER]}]),
    "ingress where egress is restricted": (
        network_policy(policyTypes=["Ingress", "Egress"]),
        ("spec", "ingress"),
        [{}],
    ),
    "egress for everybody": (
        network_policy(policyTypes=["Ingress", "Egress"]),
        ("spec", "egress"),
        [{}],
    ),
    "a declared empty list": (network_policy(ingress=[]), ("spec", "ingress"), [{}]),
    "one more rule": (
        network_policy(ingress=[{"from": [PEER]}]),
        ("spec", "ingress"),
        [{"from": [PEER]}, {}],
    ),
    "all namespaces": (
        network_policy(ingress=[{"from": [PEER]}]),
        ("spec", "ingress"),
        [{"from": [{**PEER, "namespaceSelector": {}}]}],
    ),
    "all peers": (
        network_policy(ingress=[{"from": [PEER], "ports": [PORT]}]),
        ("spec", "ingress"),
        [{"ports": [PORT]}],
    ),
    "all ports": (
        network_policy(ingress=[{"from": [PEER], "ports": [PORT]}]),
        ("spec", "ingress"),
        [{"from": [PEER]}],
    ),
    "another type": (network_policy(), ("spec", "policyTypes"), ["Egress"]),
    "other pods": (network_policy(), ("spec", "podSelector"), {"matchLabels": {"app": "b"}}),
    "fewer pods": (
        network_policy(),
        ("spec", "podSelector"),
        {**MINE, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
    ),
    "not all pods any more": (
        body("NetworkPolicy", "n", NETWORKING, spec={}),
        ("spec", "podSelector"),
        MINE,
    ),
    "rules of a role without rules": (role(), ("rules",), [RULE]),
    "one more rule of a role": (role(rules=[RULE]), ("rules",), [RULE, RULE]),
    "all names": (
        role(rules=[RULE]),
        ("rules",),
        [{name: RULE[name] for name in ("apiGroups", "resources", "verbs")}],
    ),
    "subjects of a binding without subjects": (binding(), ("subjects",), [GROUP]),
    "an address outside of the cluster": (service(), ("spec", "externalIPs"), ["192.0.2.1"]),
    "a port on every node": (service(), ("spec", "type"), "NodePort"),
    "the token of an account": (
        body("ServiceAccount", "s", automountServiceAccountToken=False),
        ("automountServiceAccountToken",),
        True,
    ),
}


def opened(obj, path, value) -> dict[str, Any]:
    """The object after another client has set one field of it."""
    result = copy.deepcopy(dict(obj))
    target: Any = result
    fields: dict[str, Any] = {}
    for name in reversed(path):
        fields = {f"f:{name}": fields}
    for name in path[:-1]:
        target = target[name]
    target[path[-1]] = value
    return manage(result, "kubectl-edit", fields)


@pytest.mark.parametrize("case", OPENED)
def test_what_opens_an_object_is_drift_of_the_client_that_did_it(case):
    rendered, path, value = OPENED[case]
    declared = manifest(rendered)
    obj = simulate_live(declared)
    assert isinstance(compare(declared, obj), InSync)
    comparison = compare(declared, opened(obj, path, value))
    assert isinstance(comparison, OutOfSync)
    [field] = comparison.fields
    assert field.path.startswith(".".join(path))
    assert field.cause == Drift("kubectl-edit", "2024-05-02T11:30:00Z")
    assert comparison.has_conflict


@pytest.mark.parametrize("case", OPENED)
def test_a_manifest_of_an_earlier_version_stays_in_sync_and_an_opened_one_does_not(case):
    """Objects that were applied before these fields were declared do not have our claim on them."""
    rendered, path, value = OPENED[case]
    declared = manifest(rendered)
    obj = manage(dict(simulate_live(declared)), "reconcile", {"f:metadata": {}}, operation="Apply")
    assert isinstance(compare(declared, obj), InSync)
    assert isinstance(compare(declared, opened(obj, path, value)), OutOfSync)


@pytest.mark.parametrize("empty", [None, []])
@pytest.mark.parametrize("rendered", [role(), binding(), role(rules=[])])
def test_no_rules_are_stored_as_null_or_as_an_empty_list(rendered, empty):
    declared = manifest(rendered)
    name = "rules" if rendered["kind"] == "Role" else "subjects"
    obj = {**simulate_live(declared), name: empty}
    assert isinstance(compare(declared, obj), InSync)


def test_an_opened_policy_is_closed_or_reported():
    of = wanted(network_policy())
    record, obj = live_session(of)
    objects = [record, opened(obj, ("spec", "ingress"), [{}])]
    healed = plan(desired(of), objects).changes[1]
    assert isinstance(healed, Patch)
    assert healed.force
    assert healed.operations == ({"op": "replace", "path": "/spec/ingress", "value": []},)
    held = plan(desired(of, policy=Policy(on_conflict=OnConflict.REPORT)), objects).changes[1]
    assert held.reason.name == "CONFLICT"


@pytest.mark.parametrize("spec", [None, "text", ["list"]])
@pytest.mark.parametrize(("kind", "version"), [("NetworkPolicy", NETWORKING), ("Service", "v1")])
def test_a_spec_of_another_type_is_left_to_the_server(kind, version, spec):
    assert manifest(body(kind, "n", version, spec=spec)).body.get("spec") == spec
