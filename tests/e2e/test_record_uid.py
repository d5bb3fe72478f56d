"""The annotation with the Record's UID on a real server: written by an apply, seen in no plan."""

from typing import Any

import pytest

from reconcile.core.model import ANNOTATION_RECORD_UID, FIELD_MANAGER
from tests.controlplane import waiting
from tests.e2e.site import Object, Site

pytestmark = pytest.mark.cluster

POD = "one-runner"
POINTER = f"/metadata/annotations/{ANNOTATION_RECORD_UID.replace('/', '~1')}"


@pytest.fixture
def applied(site: Site) -> Site:
    site.session("one", initialPrompt="work")
    site.apply()
    site.start_pod(POD)
    return site


def uid_in(pod: Object) -> str:
    found: str = pod["metadata"]["annotations"].get(ANNOTATION_RECORD_UID, "")
    return found


def record_uid(site: Site) -> str:
    found: str = site.get("ConfigMap", "session-one")["metadata"]["uid"]
    return found


def pod_fields(site: Site) -> list[str]:
    """The fields of the pod that a plan would change."""
    [pod] = [change for change in site.plan() if change["kind"] == "Pod"]
    return [field["path"] for field in pod["fields"]]


def owners_of(pod: Object) -> set[str]:
    """The managers of the annotation."""
    entries: list[Any] = pod["metadata"]["managedFields"]
    key = f"f:{ANNOTATION_RECORD_UID}"
    return {
        entry["manager"]
        for entry in entries
        if key in entry["fieldsV1"].get("f:metadata", {}).get("f:annotations", {})
    }


def test_a_pod_is_created_with_it_and_then_nothing_is_to_be_done(applied: Site) -> None:
    pod = applied.get("Pod", POD)
    assert uid_in(pod) == record_uid(applied)
    assert owners_of(pod) == {FIELD_MANAGER}
    applied.is_settled()


def test_a_label_is_patched_and_the_annotation_stays(applied: Site) -> None:
    applied.session("one", {"labels": {"team": "web"}}, initialPrompt="work")
    assert pod_fields(applied) == ["metadata.labels.team"]
    applied.diff("--server-dry-run", expect=1)
    applied.apply()
    pod = applied.get("Pod", POD)
    assert pod["metadata"]["labels"]["team"] == "web"
    assert uid_in(pod) == record_uid(applied)
    applied.is_settled()


def test_a_record_that_is_made_again_gives_its_uid_with_the_owner_reference(applied: Site) -> None:
    before = record_uid(applied)
    for name, body in applied.ours().items():
        if "ownerReferences" in body["metadata"]:
            kind, _, short = name.partition("/")
            applied.edit(kind, short, {"op": "remove", "path": "/metadata/ownerReferences"})
    applied.remove("ConfigMap", "session-one")
    assert pod_fields(applied) == ["metadata.ownerReferences"]
    applied.apply()
    assert before != record_uid(applied) == uid_in(applied.get("Pod", POD))
    applied.is_settled()


def test_a_new_pod_has_the_uid_of_the_record_that_was_made_again(collected_site: Site) -> None:
    site = collected_site
    site.session("one", initialPrompt="work")
    site.apply()
    before = record_uid(site)
    site.remove("ConfigMap", "session-one")
    waiting.until("the collection", lambda: not any("one" in name for name in site.ours()))
    site.apply()
    assert before != record_uid(site) == uid_in(site.get("Pod", POD))


def test_another_managers_value_is_no_difference_and_prevents_no_patch(applied: Site) -> None:
    applied.edit("Pod", POD, {"op": "replace", "path": POINTER, "value": "theirs"})
    applied.is_settled()
    applied.session("one", {"labels": {"team": "web"}}, initialPrompt="work")
    applied.apply()
    pod = applied.get("Pod", POD)
    assert pod["metadata"]["labels"]["team"] == "web"
    assert uid_in(pod) == "theirs"
    applied.is_settled()
