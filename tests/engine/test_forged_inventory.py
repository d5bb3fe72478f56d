"""What the tenants of one namespace write into its inventory changes nothing of the others."""

import json
from dataclasses import dataclass

import pytest

from reconcile.core.changes import Status
from reconcile.core.errors import ClusterError, ForbiddenError
from tests.engine.fakes import Fault, Times
from tests.engine.installation import declared, is_quiet
from tests.session_files import OTHER_POD, policy_text

NAME = "reconcile-inventory-default"
OPEN = ()
LISTED = ("namespaces: [team-a, team-b, team-c]",)


@dataclass
class Rights:
    """An API server that lets us read these namespaces and the kinds of the shipped templates."""

    namespaces: tuple = ("team-a", "team-b", "team-c")
    kinds: tuple = ("ConfigMap", "NetworkPolicy", "Pod", "Service", "ServiceAccount")

    def __call__(self, call):
        if call.namespace in self.namespaces and call.kind in self.kinds:
            return None
        return Fault(ForbiddenError(f"no right to {call.verb} {call.kind} in {call.namespace}"))


def installation(policy):
    world = declared("one")
    world.files["policy.yaml"] = policy_text(*policy)
    world.add("one", namespace="team-b").add("one", namespace="team-c")
    world.apply(Rights())
    return world


def forge(world, **data):
    operations = [
        {"op": "replace", "path": f"/data/{name}", "value": value} for name, value in data.items()
    ]
    world.edit("ConfigMap", NAME, *operations, manager="tenant")


KINDS = json.dumps([["apps/v1", "Deployment"], ["v1", "Secret"], ["v1", "ConfigMap"]])
FORGED = {
    "namespaces": {"namespaces": '["kube-system","team-a","team-b","victim"]'},
    "kinds": {"kinds": KINDS},
    "both": {"namespaces": '["kube-system"]', "kinds": KINDS},
    "nothing": {"namespaces": "[]", "kinds": "[]"},
    "bad JSON": {"namespaces": "[", "kinds": "{}"},
    "a path": {"namespaces": '["../../kube-system"]'},
    "very many": {
        "namespaces": json.dumps([f"n{number}" for number in range(4000)]),
        "kinds": json.dumps([["v1", f"Kind{number}"] for number in range(4000)]),
    },
}


@pytest.mark.parametrize("policy", [OPEN, LISTED])
@pytest.mark.parametrize("case", FORGED)
def test_a_forged_inventory_stops_nothing_and_is_written_again(case, policy):
    world = installation(policy)
    forge(world, **FORGED[case])
    world.add("one", f"{OTHER_POD}\nupdate: {{strategy: Recreate}}", namespace="team-b")
    passed = world.apply(Rights())
    assert not passed.planned.problems
    assert not passed.bad
    assert "Pod team-b/one-runner" in passed.of(Status.REPLACED)
    # The tenants of a namespace can make us ask in it, but for little, and nowhere else.
    strange = {call.namespace for call in world.seen.log} - {"team-a", "team-b", "team-c"}
    assert strange <= (set() if policy else {"kube-system", "victim"})
    assert {call.kind for call in world.seen.log if call.namespace == "team-b"} <= set(Rights.kinds)
    assert len(world.seen.log) < 100
    again = world.apply(Rights())
    assert is_quiet(again.plan)
    assert not again.planned.warnings
    for namespace in ("team-a", "team-b", "team-c"):
        data = world.get("ConfigMap", NAME, namespace)["data"]
        assert json.loads(data["namespaces"]) == ["team-a", "team-b", "team-c"]
        assert {name for _, name in json.loads(data["kinds"])} == set(Rights.kinds)


def test_what_is_not_believed_is_warned_of():
    world = installation(LISTED)
    forge(world, namespaces='["a1","a2","a3","a4","team-a"]', kinds=KINDS)
    warnings = [str(each) for each in world.plan(Rights()).warnings]
    assert len(warnings) == 3
    assert warnings[0].startswith("team-a: Deployment was not read, as only one inventory names it")
    assert (
        "team-a: the inventory here, and no other one, names a1, a2, a3 and 1 more" in warnings[2]
    )


def test_an_inventory_cannot_hide_a_namespace_that_others_name():
    world = installation(OPEN)
    forge(world, namespaces="[]", kinds="[]")
    del world.files["team-c/one.yaml"]
    world.files["policy.yaml"] = policy_text("budgets: {deletes: {percent: 100}}")
    passed = world.apply(Rights())
    assert "Pod team-c/one-runner" in passed.of(Status.DELETED)
    assert world.names("team-c") == []


def test_a_namespace_that_cannot_be_read_keeps_its_inventory_and_no_other_gets_its_kinds():
    world = installation(LISTED)
    before = world.get("ConfigMap", NAME)["data"]
    no_pods = Rights()

    def unreadable(call):
        if (call.verb, call.namespace, call.kind) == ("list", "team-a", "Pod"):
            return Fault(ForbiddenError("no"))
        return no_pods(call)

    passed = world.apply(unreadable)
    assert [problem.path for problem in passed.planned.problems] == ["team-a"]
    assert world.get("ConfigMap", NAME)["data"] == before


def test_the_only_inventory_leads_to_a_namespace_that_may_not_be_read_any_more():
    world = declared("one")
    world.add("one", namespace="team-b")
    world.apply(Rights())
    del world.files["team-b/one.yaml"]
    only_a = Rights(namespaces=("team-a",))
    [warning] = world.plan(only_a, folders=["team-a"]).warnings
    assert warning.path == "team-b"


def test_another_error_than_a_missing_right_makes_a_namespace_unreadable():
    world = installation(LISTED)
    planned = world.plan(Times(ClusterError("odd"), "list", "Pod", namespace="team-b"))
    assert [problem.path for problem in planned.problems] == ["team-b"]
