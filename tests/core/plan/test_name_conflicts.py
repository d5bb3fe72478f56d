import pytest

from reconcile.core.model import ANNOTATION_ADOPT, LABEL_INSTALLATION
from reconcile.core.plan.adoption import ForeignObjects, find_missing_manifests, find_name_conflicts
from tests.builders import (
    config_map,
    desired,
    live,
    live_session,
    live_state_of,
    manifest,
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
