"""Sessions without a file end in order and leave nothing; those with a broken file stay."""

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.core.inventory import inventory_name
from tests.e2e import site as sites
from tests.e2e.site import API, Site
from tests.e2e.states import changed

pytestmark = pytest.mark.cluster

EXTRA_TEMPLATE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: "{{ session.name }}-proxy"}
spec:
  replicas: 0
  selector: {matchLabels: {app: "{{ session.name }}"}}
  template:
    metadata: {labels: {app: "{{ session.name }}"}}
    spec: {containers: [{name: proxy, image: registry.example/proxy}]}
"""


def names(site: Site, session: str) -> set[str]:
    """The objects of one session."""
    return {
        name
        for name in site.ours()
        if name.endswith(f"/session-{session}") or f"/{session}-" in name
    }


@pytest.fixture
def three(site: Site) -> Site:
    """Three sessions, and a budget that allows the deletion of one of them."""
    for name in ("one", "two", "three"):
        site.session(name)
    site.apply()
    return site


def test_a_session_ends_with_its_pod_and_at_last_its_record(three: Site) -> None:
    three.forget("two")
    mark = three.plane.audit().mark()
    three.apply()
    deletes = [
        (event.resource, event.name)
        for event in three.writes(mark)
        if (event.verb, event.code) == ("delete", 200)
    ]
    assert deletes[0] == ("pods", "two-runner")
    assert deletes[-1] == ("configmaps", "session-two")
    assert sorted(deletes[1:-1]) == [
        ("configmaps", "two-inputs"),
        ("networkpolicies", "session-two"),
        ("serviceaccounts", "session-two"),
        ("services", "session-two"),
    ]
    # The inventory alone is written to besides: it remembers what a revision has ended.
    others = {event.name for event in three.writes(mark) if event.verb != "delete"}
    assert others <= {inventory_name("default")}
    assert names(three, "two") == set()
    assert len(names(three, "one")) == 6
    three.is_settled()


def test_a_pod_is_awaited_before_anything_else_of_its_session_goes(three: Site) -> None:
    # The server has no kubelet, so a finalizer keeps the pod as its grace period would.
    hold = {"metadata": {"finalizers": ["example.com/wait"]}}
    three.merge("Pod", "two-runner", hold)
    three.forget("two")
    released = []

    def release_when_asked() -> None:
        three.merge("Pod", "two-runner", {"metadata": {"finalizers": None}})
        released.append(names(three, "two"))

    with three.when_deleted("Pod", "two-runner", release_when_asked):
        three.apply()
    assert [len(left) for left in released] == [5]
    assert names(three, "two") == set()


def test_the_last_session_leaves_nothing_not_even_the_inventory(site: Site) -> None:
    site.session("one")
    site.session("two")
    site.apply()
    before = site.everything()
    assert f"ConfigMap/{inventory_name('default')}" in before
    site.forget("one", "two")
    site.policy(namespaces=[site.namespace], allowEmpty=True, budgets={"deletes": {"percent": 100}})
    site.apply()
    assert site.everything() == {}
    site.is_settled()


def test_a_template_that_goes_leaves_no_object_of_its_kind(site: Site) -> None:
    site.template("deployment", EXTRA_TEMPLATE)
    site.grant("Deployment")
    for name in ("one", "two", "three", "four"):
        site.session(name)
    site.apply()
    before = site.ours()
    assert {item["kind"] for item in before.values()} > {"Deployment"}
    sites.discard(site.templates)
    site.policy(budgets={"deletes": {"percent": 100}})
    site.apply()
    after = site.ours()
    assert before.keys() - after.keys() == {
        f"Deployment/{name}-proxy" for name in ("one", "two", "three", "four")
    }
    site.is_settled()
    inventory = site.get("ConfigMap", inventory_name("default"))
    assert "Deployment" not in inventory["data"]["kinds"]


def test_a_folder_that_goes_leaves_nothing_in_its_namespace(site: Site) -> None:
    elsewhere = site.second_namespace()
    for name in ("one", "two", "three"):
        site.session(name)
    site.session("other", folder=elsewhere)
    site.apply()
    assert len(site.ours(namespace=elsewhere)) == 7
    sites.discard(site.tree / elsewhere)
    site.apply()
    assert site.everything(elsewhere) == {}
    assert len(site.ours()) == 3 * 6 + 1
    site.is_settled()


@pytest.mark.parametrize(
    "text", ["kind: [", "", f"apiVersion: {API}\nkind: AgenticSession\nspec: {{}}\n"]
)
def test_a_file_that_became_invalid_deletes_nothing_and_is_named(three: Site, text: str) -> None:
    (three.tree / three.namespace / "two.yaml").write_text(text or "kind: Nothing\n")
    three.forget("three")
    three.session("one", displayName="Renamed")
    three.session("four")
    before = three.ours()
    ended = three.apply(expect=ExitCode.INVALID)
    assert f"{three.namespace}/two.yaml:" in ended.err
    after = three.ours()
    assert before.keys() <= after.keys()
    assert {name: after[name] for name in names(three, "two")} == {
        name: before[name] for name in names(three, "two")
    }
    assert after["ConfigMap/session-one"]["data"]["displayName"] == "Renamed"
    assert len(names(three, "four")) == 6
    three.diff(expect=ExitCode.INVALID)


def test_what_an_invalid_file_kept_alive_goes_once_it_is_mended(three: Site) -> None:
    broken = three.tree / three.namespace / "two.yaml"
    text = broken.read_text()
    broken.write_text("kind: [")
    three.forget("three")
    three.apply(expect=ExitCode.INVALID)
    assert len(names(three, "three")) == 6
    broken.write_text(text)
    three.apply()
    assert names(three, "three") == set()


@pytest.mark.parametrize("with_policy", [True, False])
def test_an_empty_tree_deletes_nothing(three: Site, *, with_policy: bool) -> None:
    sites.discard(three.tree / three.namespace)
    if with_policy:
        three.policy(namespaces=[three.namespace], budgets={"deletes": {"percent": 100}})
    before = three.everything()
    mark = three.plane.audit().mark()
    ended = three.apply(expect=ExitCode.HELD if with_policy else ExitCode.OK)
    assert ("allowEmpty" in ended.out) == with_policy
    # The Records say what is held.
    assert {event.verb for event in three.writes(mark)} <= {"patch"}
    after = three.everything()
    for name, item in before.items():
        assert changed(item, after[name]).keys() <= {"data.status"}, name


def test_without_prune_nothing_is_deleted(three: Site) -> None:
    three.forget("two")
    before = three.ours()
    three.apply("--no-prune")
    assert three.ours().keys() == before.keys()
    held = three.plan("--no-prune")
    assert {change["action"] for change in held} == {"hold"}
    assert len(held) == 6
