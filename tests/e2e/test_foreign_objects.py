"""What is not ours is never touched: other installations, objects of the same name."""

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.core.model import ANNOTATION_ADOPT, LABEL_INSTALLATION, LABEL_SESSION
from tests.e2e.site import Object, Site
from tests.e2e.states import changed, labels_of

pytestmark = pytest.mark.cluster

BODIES: dict[str, tuple[str, Object]] = {
    "ConfigMap": ("session-one", {"data": {"theirs": "1"}}),
    "ServiceAccount": ("session-one", {}),
    "Service": ("session-one", {"spec": {"ports": [{"name": "x", "port": 1}]}}),
    "NetworkPolicy": ("session-one", {"spec": {"podSelector": {"matchLabels": {"x": "y"}}}}),
    "Pod": ("one-runner", {"spec": {"containers": [{"name": "x", "image": "x"}]}}),
}
"""Objects of others that have a name that the session `one` needs."""


@pytest.mark.parametrize("kind", BODIES)
def test_an_object_of_the_same_name_is_left_alone_and_named(site: Site, kind: str) -> None:
    name, body = BODIES[kind]
    before = site.create(kind, {"metadata": {"name": name}, **body})
    site.session("one")
    site.session("two")
    ended = site.apply(expect=ExitCode.HELD)
    assert f"{kind} {name}" in ended.out
    assert f"annotate it with `{ANNOTATION_ADOPT}=default`" in ended.out
    assert untouched(before, site.get(kind, name))
    # What comes before it is there, what comes after it waits, the other session has all it needs.
    ours = site.ours()
    assert f"{kind}/{name}" not in ours
    assert "Pod/one-runner" not in ours
    assert "Pod/two-runner" in ours


@pytest.mark.parametrize("kind", BODIES)
def test_a_stranger_outlives_the_session_that_wanted_its_name(site: Site, kind: str) -> None:
    name, body = BODIES[kind]
    before = site.create(kind, {"metadata": {"name": name}, **body})
    for session in ("one", "two", "three"):
        site.session(session)
    site.apply(expect=ExitCode.HELD)
    site.forget("one")
    site.apply()
    assert untouched(before, site.get(kind, name))
    assert not [name for name in site.ours() if "one" in name]


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind != "Pod"])
def test_an_annotation_gives_an_object_to_us_and_what_it_had_stays(site: Site, kind: str) -> None:
    name, body = BODIES[kind]
    theirs = {"theirs": "1"}
    before = site.create(kind, {"metadata": {"name": name, "labels": theirs}, **body})
    site.merge(kind, name, {"metadata": {"annotations": {ANNOTATION_ADOPT: "default"}}})
    site.session("one")
    site.apply()
    after = site.get(kind, name)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"].items() >= theirs.items()
    assert after["metadata"]["labels"][LABEL_SESSION] == "one"
    if kind == "ConfigMap":
        assert after["data"]["theirs"] == "1"
    site.is_settled()


def test_a_pod_that_is_given_to_us_but_would_have_to_be_replaced_is_held(site: Site) -> None:
    name, body = BODIES["Pod"]
    before = site.create("Pod", {"metadata": {"name": name}, **body})
    site.merge("Pod", name, {"metadata": {"annotations": {ANNOTATION_ADOPT: "default"}}})
    site.session("one")
    site.apply(expect=ExitCode.HELD)
    assert site.get("Pod", name)["metadata"]["uid"] == before["metadata"]["uid"]


def test_another_installations_annotation_gives_nothing_to_us(site: Site) -> None:
    annotations = {ANNOTATION_ADOPT: "another"}
    before = site.create(
        "ServiceAccount", {"metadata": {"name": "session-one", "annotations": annotations}}
    )
    site.session("one")
    site.apply(expect=ExitCode.HELD)
    assert untouched(before, site.get("ServiceAccount", "session-one"))


def test_two_installations_share_a_namespace_without_touching_each_other(site: Site) -> None:
    site.policy(installation="first", budgets={"deletes": {"percent": 100}})
    for name in ("a", "b", "c"):
        site.session(name)
    site.apply()
    firsts = site.ours("first")
    site.forget("a", "b", "c")
    site.policy(installation="second", budgets={"deletes": {"percent": 100}})
    site.session("d")
    site.session("e")
    site.apply()
    site.is_settled()
    site.forget("d")
    site.apply()
    site.is_settled()
    after = site.ours("first")
    assert after.keys() == firsts.keys()
    assert all(changed(firsts[name], after[name]) == {} for name in firsts)
    assert all(versions(firsts[name]) == versions(after[name]) for name in firsts)
    assert {labels_of(item)[LABEL_INSTALLATION] for item in site.everything().values()} == {
        "first",
        "second",
    }


def test_two_installations_that_want_one_name_do_not_take_it_from_each_other(site: Site) -> None:
    site.policy(installation="first")
    site.session("one")
    site.apply()
    before = site.ours("first")
    site.policy(installation="second")
    site.session("one", displayName="Another")
    ended = site.apply(expect=ExitCode.HELD)
    assert "ConfigMap session-one" in ended.out
    after = site.ours("first")
    assert {n: versions(o) for n, o in before.items()} == {n: versions(o) for n, o in after.items()}
    assert site.ours("second").keys() <= {"ConfigMap/reconcile-inventory-second"}


def test_what_another_controller_made_with_our_labels_is_not_ours(site: Site) -> None:
    site.session("one")
    site.apply()
    maker = site.create("ConfigMap", {"metadata": {"name": "maker"}})["metadata"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "maker", "uid": maker["uid"]}
    labels = labels_of(site.get("Pod", "one-runner"))
    metadata = {"labels": labels, "ownerReferences": [{**owner, "controller": True}]}
    before = site.create("ConfigMap", {"metadata": {"name": "made", **metadata}})
    site.is_settled()
    site.forget("one")
    site.policy(namespaces=[site.namespace], allowEmpty=True)
    site.apply()
    assert untouched(before, site.get("ConfigMap", "made"))
    assert site.everything().keys() == {"ConfigMap/maker", "ConfigMap/made"}


def untouched(before: Object, after: Object) -> bool:
    """Whether no client has changed an object, except the controller that adds account tokens."""
    return before["metadata"]["uid"] == after["metadata"]["uid"] and not {
        entry["manager"] for entry in after["metadata"].get("managedFields", ())
    } & {"reconcile", "reconcile-status"}


def versions(obj: Object) -> str:
    if obj["kind"] == "ServiceAccount":
        return str(obj["metadata"]["uid"])
    return str(obj["metadata"]["resourceVersion"])
