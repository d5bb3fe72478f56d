import json

import pytest

from reconcile.core.inventory import (
    BudgetUsage,
    Inventory,
    InventoryCopy,
    build_inventory_body,
    find_confirmed,
    find_outdated_namespaces,
    inventory_name,
    is_inventory,
    read_budget_usage,
    read_inventory,
)
from reconcile.core.model import LABEL_INSTALLATION, Kind, ObjectMetadata

POD = Kind("v1", "Pod")
POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
FULL = Inventory(frozenset({POD, POLICY}), frozenset({"team-a", "team-b"}))
NONE = ObjectMetadata()
USAGE = BudgetUsage("r1", 4, deletes=frozenset({"team-b/y", "team-a/x"}))


def test_an_inventory_is_read_as_it_was_written():
    body = build_inventory_body("default", "team-a", FULL, USAGE, NONE)
    assert (read_inventory(body), read_budget_usage(body)) == (FULL, USAGE)


def test_an_inventory_is_written_in_one_order():
    assert build_inventory_body("default", "team-a", FULL, USAGE, NONE) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "reconcile-inventory-default",
            "namespace": "team-a",
            "labels": {
                LABEL_INSTALLATION: "default",
                "app.kubernetes.io/managed-by": "reconcile",
            },
        },
        "data": {
            "kinds": '[["networking.k8s.io/v1","NetworkPolicy"],["v1","Pod"]]',
            "namespaces": '["team-a","team-b"]',
            "spent": '{"revision":"r1","living":4,"deletes":["team-a/x","team-b/y"],"restarts":[]}',
        },
    }


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kinds": "nonsense"},
        {"kinds": "1"},
        {"kinds": '["v1"]'},
        {"kinds": '[["v1", "Pod", "x"]]'},
        {"kinds": "[[1, 2]]"},
        {"kinds": '[["", "Pod"]]'},
        {"kinds": '[["v1", {}]]'},
        {"namespaces": "null"},
        {"namespaces": '[["a"]]'},
        {"namespaces": '[""]', "kinds": '[["v1", "Pod"]]'},
        {"namespaces": '["../kube-system"]'},
        {"namespaces": '["a/b"]'},
        {"namespaces": '["A"]'},
        {"namespaces": json.dumps(["a" * 64])},
        {"namespaces": json.dumps([f"a{number}" for number in range(5001)])},
        {"kinds": '[["v1/../..", "Pod"]]'},
        {"kinds": '[["v1", "Pod\\n"]]'},
        {"kinds": json.dumps([["v1", f"Kind{number}"] for number in range(101)])},
        {"kinds": "[" * 100_000},
    ],
)
def test_a_damaged_copy_counts_as_empty(data):
    assert read_inventory({"data": data}) == Inventory()


def copy_of(installation="default", **changed):
    body = build_inventory_body(installation, "team-a", FULL, USAGE, NONE)
    return {**body, **changed}


def with_metadata(**changed):
    body = copy_of()
    return {**body, "metadata": {**body["metadata"], **changed}}


def test_an_installation_knows_its_own_copy():
    assert is_inventory("default", copy_of())


@pytest.mark.parametrize(
    "body",
    [
        copy_of("other"),
        copy_of(kind="Secret"),
        with_metadata(name="x"),
        with_metadata(name=inventory_name("default"), labels=None),
        with_metadata(labels={LABEL_INSTALLATION: "other"}),
    ],
)
def test_other_objects_are_not_a_copy_of_it(body):
    assert not is_inventory("default", body)


def test_inventories_add_up():
    one = Inventory(frozenset({POD}), frozenset({"team-a"}))
    two = Inventory(frozenset({POLICY}), frozenset({"team-b"}))
    assert one | two == FULL


def test_a_copy_that_is_missing_or_says_something_else_is_outdated():
    copies = {
        "same": InventoryCopy("1", FULL, USAGE),
        "less": InventoryCopy("2", Inventory(), USAGE),
        "unused": InventoryCopy("3", FULL, BudgetUsage()),
        "other": InventoryCopy("4", Inventory(), USAGE),
    }
    requested = {"missing", "same", "less", "unused"}
    assert find_outdated_namespaces((FULL, USAGE), copies, requested) == (
        "less",
        "missing",
        "unused",
    )


def copies_naming(*namespaces):
    return [
        InventoryCopy("1", Inventory(frozenset({POD}), frozenset(names)), USAGE)
        for names in namespaces
    ]


@pytest.mark.parametrize(
    ("copies", "confirmed"),
    [
        ([], set()),
        ([{"a", "b"}], {"a", "b"}),
        ([{"a", "forged"}, {"a", "b"}, {"a", "b"}], {"a", "b"}),
        ([set(), {"a"}], set()),
    ],
)
def test_an_entry_is_confirmed_by_a_second_copy_if_there_is_one(copies, confirmed):
    assert find_confirmed(copies_naming(*copies)).namespaces == confirmed
