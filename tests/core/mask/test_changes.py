"""Masking of field changes and JSON Patch operations, where a path identifies the secret."""

from typing import Any

import pytest

from reconcile.core.changes import ABSENT, Commit, Drift, FieldChange, InPlace
from reconcile.core.mask.masker import Masker
from reconcile.core.mask.objects import _MAX_DEPTH
from reconcile.core.model import ObjectRef

CANARY = "c4nary-Zx81-value"
POD = ObjectRef("", "Pod", "team-a", "x")
SECRET = ObjectRef("", "Secret", "team-a", "x")


def mark(number: int) -> str:
    return f"\u2039masked #{number}\u203a"


def change(path, before, after, cause=None) -> FieldChange:
    return FieldChange(path, before, after, InPlace(), cause or Commit())


def pod_with(*env, **container):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [{"name": "runner", "env": list(env), **container}]},
    }


@pytest.mark.parametrize(
    "path", ["spec.containers[runner].env[API_TOKEN].value", "data.api-token", "spec.password"]
)
def test_a_changed_field_shows_that_it_changed_and_nothing_more(path):
    shown = Masker().mask_change(POD, change(path, "before-1", "after-2"))
    assert (shown.before, shown.after) == (mark(1), mark(2))


@pytest.mark.parametrize(
    "path",
    ["spec.volumes[token].secret.secretName", "", "spec.env[A_TOKEN].valueFrom.secretKeyRef.key"],
)
def test_a_field_near_a_secret_is_shown(path):
    assert Masker().mask_change(POD, change(path, "a", ABSENT)).before == "a"


def test_a_whole_entry_or_container_that_changed_is_hidden_inside():
    entry = {"name": "API_TOKEN", "value": CANARY}
    shown = Masker().mask_change(
        POD, change("spec.containers[runner].env[API_TOKEN]", ABSENT, entry)
    )
    assert shown.before is ABSENT
    assert shown.after == {"name": "API_TOKEN", "value": mark(1)}
    container = {"name": "runner", "env": [entry]}
    shown = Masker().mask_change(POD, change("spec.containers[runner]", container, ABSENT))
    assert shown.before["env"][0]["value"] == mark(1)


def test_the_data_of_a_secret_that_changed_is_hidden():
    shown = Masker().mask_change(SECRET, change("data", {"a": "eA=="}, {"a": "eQ=="}))
    assert (shown.before, shown.after) == ({"a": mark(1)}, {"a": mark(2)})
    assert Masker().mask_change(SECRET, change("stringData.a", "x", "y")).after == mark(2)
    assert Masker().mask_change(POD, change("data", {"token": "x"}, {"token": "y"})).after == {
        "token": mark(2)
    }


def test_a_change_that_masking_would_hide_still_shows():
    before: dict[str, Any] = {"credentials": {"a": 1.0}}
    after: dict[str, Any] = {"credentials": {"a": 1.0}}
    for side, leaf in ((before, "x"), (after, "y")):
        deep: dict[str, Any] = {"leaf": leaf}
        for _ in range(_MAX_DEPTH * 2):
            deep = {"a": deep}
        side["deep"] = deep
    shown = Masker().mask_change(POD, change("spec.x", before, after))
    assert shown.before != shown.after


def test_the_manager_of_a_drift_is_masked_as_text():
    token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
    shown = Masker().mask_change(POD, change("spec.x", 1, 2, Drift(f"bot {token}", "now")))
    assert shown.cause == Drift(f"bot {mark(1)}", "now")


def test_a_learned_field_change_is_known_later():
    masker = Masker()
    masker.learn_change(POD, change("spec.containers[r].env[A_TOKEN].value", ABSENT, CANARY))
    assert masker.mask_text(CANARY) == mark(1)


def test_an_operation_is_recognised_by_its_value_or_its_path():
    masker = Masker()
    masker.learn(
        pod_with({"name": "API_TOKEN", "value": CANARY}, {"name": "PIN_TOKEN", "value": "7"})
    )
    path = "/spec/containers/0/env/0/value"
    assert masker.mask_operation(POD, {"op": "add", "path": path, "value": CANARY})[
        "value"
    ] == mark(1)
    assert masker.mask_operation(POD, {"op": "add", "path": path, "value": "7"})["value"] == mark(2)
    other = masker.mask_operation(POD, {"op": "add", "path": "/spec/replicas", "value": "7"})
    assert other["value"] == "7"
    pointer = "/metadata/annotations/example.com~1api-token"
    assert masker.mask_operation(POD, {"op": "add", "path": pointer, "value": "z"}) == {
        "op": "add",
        "path": pointer,
        "value": mark(3),
    }
    assert masker.mask_operation(SECRET, {"op": "add", "path": "/data/a", "value": "eA=="})[
        "value"
    ] == (mark(4))


def test_an_operation_without_a_value_keeps_none():
    remove = {"op": "remove", "path": "/spec/x", "from": "/y", "n": 1}
    assert Masker().mask_operation(POD, remove) == remove


@pytest.mark.parametrize(
    ("path", "value", "is_shown"),
    [
        ("spec.credentials[0].keys.token", "git-pat-1", True),
        ("spec.other.keys.token", "git-pat-1", False),
        ("spec.mcpServers.custom.s.env.LEVEL", "debug", True),
        ("spec.mcpServers.custom.s.env.LEVEL", "x9Kq27LmZ81rTw40", False),
        ("spec.mcpServers.custom.s.headers[X-Any]", "some", False),
    ],
)
def test_a_setting_of_a_credential_or_a_server_is_judged_by_its_place(path, value, is_shown):
    shown = Masker().mask_change(POD, change(path, ABSENT, value)).after
    assert shown == (value if is_shown else mark(1))
