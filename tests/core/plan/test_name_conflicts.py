import pytest

from reconcile.core.changes import Hold, Patch
from reconcile.core.model import ANNOTATION_ADOPT, LABEL_INSTALLATION
from reconcile.core.plan.adoption import ForeignObjects, find_missing_manifests, find_name_conflicts
from tests.builders import (
    config_map,
    desired,
    live,
    live_session,
    live_state_of,
    manifest,
    plan,
    pod,
    session,
    wanted,
)

WANTED = manifest(config_map())
NAMES = {WANTED.ref.name: WANTED}


def present(name=WANTED.ref.name, **metadata):
    return {"metadata": {"name": name, **metadata}}


def test_every_name_that_a_plan_would_create_is_looked_up_by_kind_and_namespace():
    one, two = wanted(pod()), wanted(pod(), of=session(namespace="team-b"))
    of = desired(one, two)
    assert find_missing_manifests(of, live_state_of(of, live_session(one))) == {
        (two.manifests[0].kind, "team-b"): {"session-fix-login": two.manifests[0]},
        (two.manifests[1].kind, "team-b"): {"fix-login-runner": two.manifests[1]},
    }


def test_where_all_is_there_nothing_is_looked_up():
    of = desired(wanted())
    assert find_missing_manifests(of, live_state_of(of, live_session(of.sessions[0]))) == {}


def test_only_names_that_we_want_are_taken():
    assert find_name_conflicts(NAMES, [present("other")]) == {}


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": None, "labels": None},
        {"annotations": {ANNOTATION_ADOPT: "other"}},
        {"labels": {LABEL_INSTALLATION: "other"}, "annotations": {ANNOTATION_ADOPT: "default"}},
        {
            "annotations": {ANNOTATION_ADOPT: "default"},
            "ownerReferences": [{"kind": "Job", "name": "x", "uid": "u", "controller": True}],
        },
        {"annotations": {ANNOTATION_ADOPT: "default"}, "deletionTimestamp": "2024-05-01T10:00:00Z"},
    ],
)
def test_the_name_of_a_foreign_object_is_taken(metadata):
    assert find_name_conflicts(NAMES, [present(**metadata)]) == {WANTED.ref: False}


OWNER = {"kind": "ConfigMap", "name": "session-fix-login", "uid": "u", "controller": True}


@pytest.mark.parametrize(
    ("metadata", "is_read"),
    [
        ({"ownerReferences": [OWNER]}, True),
        ({"ownerReferences": [OWNER], "labels": {"a": "b"}}, True),
        ({"ownerReferences": [OWNER], "labels": {LABEL_INSTALLATION: "other"}}, False),
        ({"ownerReferences": [{**OWNER, "name": "session-other"}]}, False),
        ({"ownerReferences": [{**OWNER, "controller": False}]}, False),
    ],
)
def test_an_object_of_the_record_that_lost_its_label_is_read(metadata, is_read):
    assert find_name_conflicts(NAMES, [present(**metadata)]) == {WANTED.ref: is_read}


@pytest.mark.parametrize("labels", [{}, {LABEL_INSTALLATION: "default"}])
def test_a_foreign_object_with_the_annotation_may_be_adopted(labels):
    body = present(labels=labels, annotations={ANNOTATION_ADOPT: "default"})
    assert find_name_conflicts(NAMES, [body]) == {WANTED.ref: True}


def test_foreign_objects_of_several_namespaces_are_joined():
    other = manifest(pod())
    one = ForeignObjects(frozenset({WANTED.ref}), {WANTED.ref: live(WANTED)})
    two = ForeignObjects(frozenset({other.ref}), {other.ref: live(other)})
    assert one | two == ForeignObjects(
        frozenset({WANTED.ref, other.ref}), {**one.adoptable, **two.adoptable}
    )


def test_the_object_of_another_record_is_foreign():
    of = wanted(config_map())
    record, obj = live_session(of)
    for uid, kind in ((record["metadata"]["uid"], Patch), ("another", Hold)):
        metadata = {**obj["metadata"], "labels": {}}
        metadata["ownerReferences"] = [{**metadata["ownerReferences"][0], "uid": uid}]
        foreign = ForeignObjects(adoptable={WANTED.ref: {**obj, "metadata": metadata}})
        change = plan(desired(of), [record], foreign).changes[1]
        assert type(change) is kind
