import pytest

from reconcile.core.changes import ABSENT, Commit, Drift, InPlace, MetadataOnly
from reconcile.core.changes import FieldChange as Change
from reconcile.core.model import ANNOTATION_RECORD_UID
from reconcile.core.plan.live_state import InSync, OutOfSync
from reconcile.core.plan.session_changes import build_owner_reference, compare_owner, with_owner
from tests.builders import pod, service, session_id

OWNER = build_owner_reference(session_id(), "uid-1")
STALE = {**OWNER, "uid": "uid-0"}
THEIRS = {"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "uid-x"}
SAME = InSync("sha256:1")
OTHERWISE = OutOfSync(
    (Change("spec.a", 1, 2, InPlace(), Commit()),),
    ({"op": "remove", "path": "/spec/a"},),
    has_conflict=True,
)


def test_an_owner_is_the_record_and_does_not_block_its_own_deletion():
    assert build_owner_reference(session_id("a", "n"), "uid-1") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "session-a",
        "uid": "uid-1",
        "controller": True,
        "blockOwnerDeletion": False,
    }


def test_an_owner_is_added_to_what_is_applied_and_the_manifest_stays():
    body = pod()
    assert with_owner(body, OWNER)["metadata"]["ownerReferences"] == [OWNER]
    assert "ownerReferences" not in body["metadata"]


def test_a_pod_gets_the_uid_of_its_record_as_an_annotation_too():
    body = pod(metadata={"annotations": {"a": "1"}})
    added = {"a": "1", ANNOTATION_RECORD_UID: "uid-1"}
    assert with_owner(body, OWNER)["metadata"]["annotations"] == added
    assert "annotations" not in with_owner(service(), OWNER)["metadata"]


@pytest.mark.parametrize("owners", [[OWNER], [THEIRS, OWNER], [{**OWNER, "name": "renamed"}]])
@pytest.mark.parametrize("comparison", [SAME, OTHERWISE])
def test_an_object_that_has_its_owner_is_judged_as_before(comparison, owners):
    assert compare_owner(comparison, owners, OWNER) is comparison


@pytest.mark.parametrize(
    ("owners", "op", "wanted"),
    [
        ([], "add", [OWNER]),
        ([STALE], "replace", [OWNER]),
        ([THEIRS], "replace", [THEIRS, OWNER]),
        ([STALE, THEIRS], "replace", [THEIRS, OWNER]),
        ([{**OWNER, "controller": False}], "replace", [OWNER]),
    ],
)
def test_a_missing_owner_is_drift_and_is_repaired_and_other_owners_stay(owners, op, wanted):
    comparison = compare_owner(SAME, owners, OWNER)
    assert comparison == OutOfSync(
        (Change("metadata.ownerReferences", owners or ABSENT, wanted, MetadataOnly(), Drift()),),
        ({"op": op, "path": "/metadata/ownerReferences", "value": wanted},),
        has_conflict=False,
    )


@pytest.mark.parametrize(("owners", "cause"), [([], Commit()), ([STALE], Drift())])
def test_a_missing_owner_is_added_to_other_differences(owners, cause):
    comparison = compare_owner(OTHERWISE, owners, OWNER)
    assert isinstance(comparison, OutOfSync)
    assert [field.path for field in comparison.fields] == ["spec.a", "metadata.ownerReferences"]
    assert comparison.fields[1].cause == cause
    assert [each["path"] for each in comparison.operations] == [
        "/metadata/ownerReferences",
        "/spec/a",
    ]
    assert comparison.has_conflict
