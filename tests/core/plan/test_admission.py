"""What admission made of declared values is remembered, and no change as long as nothing moves."""

import copy

import pytest

from reconcile.core.manifest import build_record_manifest
from reconcile.core.plan.admission import (
    accept_admitted_values,
    find_admitted_values,
)
from reconcile.core.plan.live_state import InSync, OutOfSync, compare
from tests.builders import body, config_map, container, live, manifest, pod, session

MIRRORED = "mirror.example/r:1"


def runner(image="r:1", **fields):
    return container(image=image, env=[{"name": "A", "value": "1"}], **fields)


def sent(image="r:1", **metadata):
    rendered = pod(containers=[runner(image)], nodeSelector={"disk": "ssd"})
    rendered["metadata"] |= {"finalizers": ["example.com/a"], **metadata}
    return manifest(rendered)


def written(of, mutate):
    """The stored object after a webhook has changed what was sent, and what is remembered."""
    stored = live(of)
    mutate(stored)
    return stored, find_admitted_values(of, stored)


def first_container(stored):
    return stored["spec"]["containers"][0]


def rewrite_image(stored):
    first_container(stored)["image"] = MIRRORED


def drop_variable(stored):
    first_container(stored)["env"] = []


def change_variable(stored):
    first_container(stored)["env"][0]["value"] = "2"


def drop_selector(stored):
    del stored["spec"]["nodeSelector"]


def drop_finalizer(stored):
    stored["metadata"]["finalizers"] = []


MUTATIONS = [rewrite_image, drop_variable, change_variable, drop_selector, drop_finalizer]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_what_admission_changed_is_in_sync(mutate):
    of = sent()
    stored, admitted = written(of, mutate)
    before = copy.deepcopy(stored)
    assert admitted
    assert compare(accept_admitted_values(of, stored, admitted), stored) == InSync(of.digest)
    assert stored == before
    assert of == sent()


def test_an_item_that_admission_replaced_by_another_is_in_sync():
    of = manifest(pod(containers=[runner(), container(name="extra")]))
    stored, admitted = written(of, lambda obj: obj["spec"]["containers"].pop())
    accepted = accept_admitted_values(of, stored, admitted)
    assert [each["name"] for each in accepted.body["spec"]["containers"]] == ["runner"]


def test_another_declared_value_is_a_change_and_only_that():
    stored, admitted = written(sent(), rewrite_image)
    accepted = accept_admitted_values(sent(labels={"topic": "x"}), stored, admitted)
    assert accepted.body["spec"]["containers"][0]["image"] == MIRRORED
    comparison = compare(accepted, stored)
    assert isinstance(comparison, OutOfSync)
    assert [field.path for field in comparison.fields] == ["metadata.labels.topic"]
    changed = accept_admitted_values(sent("r:2"), stored, admitted)
    assert changed.body["spec"]["containers"][0]["image"] == "r:2"


def test_another_stored_value_is_drift():
    stored, admitted = written(sent(), rewrite_image)
    first_container(stored)["image"] = "other/r:1"
    assert accept_admitted_values(sent(), stored, admitted) == sent()


def test_another_object_of_the_same_name_has_its_own_admission():
    stored, admitted = written(sent(), rewrite_image)
    stored["metadata"]["uid"] = "another"
    assert accept_admitted_values(sent(), stored, admitted) == sent()


def test_nothing_is_remembered_of_what_is_as_it_was_sent():
    assert find_admitted_values(sent(), live(sent())) == {}


def test_of_secrets_and_records_nothing_is_remembered():
    secret = manifest(body("Secret", "fix-login-x", data={"a": "MQ=="}))
    stored = live(secret)
    stored["data"]["a"] = "Mg=="
    assert find_admitted_values(secret, stored) == {}
    record = build_record_manifest(session(), "default")
    stored = live(record)
    stored["data"]["state"] = "Stopped"
    assert find_admitted_values(record, stored) == {}
    inputs = manifest(config_map(data={"a": "1"}))
    stored = live(inputs)
    stored["data"]["a"] = "2"
    assert list(find_admitted_values(inputs, stored)) == ["f:data/f:a"]
