"""Another client changes an object between the plan and its apply: its change is not lost."""

from collections.abc import Callable, Iterator

import pytest

from reconcile.adapters.kube.connect import connect
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.wiring import find_shipped_templates
from reconcile.core.changes import Outcome, Status
from reconcile.core.model import LABEL_SESSION
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Cluster
from reconcile.engine.reconciler import Reconciler, ReconcilerOptions
from reconcile.runtime.clock import SystemClock
from tests.e2e.site import Object, Site

pytestmark = pytest.mark.cluster

Race = Callable[[Callable[[], object]], dict[str, Outcome]]


@pytest.fixture
def cluster(site: Site) -> Iterator[Cluster]:
    cluster = connect(str(site.kubeconfig), None)
    yield cluster
    cluster.close()


@pytest.fixture
def race(site: Site, cluster: Cluster) -> Race:
    """Plan, let another client act, apply; returns the status of each change by `Kind/name`."""

    def run(act: Callable[[], object]) -> dict[str, Outcome]:
        desired = DesiredBuilder(read_templates(find_shipped_templates())).build(
            DirectorySource(site.tree).read()
        )
        reconciler = Reconciler(cluster, SystemClock(), ReconcilerOptions())
        planned = reconciler.plan(desired, {})
        act()
        return {
            f"{outcome.change.ref.kind}/{outcome.change.ref.name}": outcome
            for done in reconciler.apply(planned)
            for outcome in done.outcomes
        }

    return run


@pytest.fixture
def one(site: Site) -> Site:
    site.session("one", {"labels": {"ours": "1"}}, initialPrompt="Do it")
    site.apply()
    return site


def label(site: Site, kind: str, name: str, **labels: str | None) -> Callable[[], Object]:
    return lambda: site.merge(kind, name, {"metadata": {"labels": labels}})


def labels(site: Site, kind: str, name: str) -> Object:
    found: Object = site.get(kind, name)["metadata"]["labels"]
    return found


def test_a_field_of_theirs_that_is_new_stays_beside_our_change(one: Site, race: Race) -> None:
    one.session("one", {"labels": {"ours": "2"}}, initialPrompt="Do it")
    outcomes = race(label(one, "Service", "session-one", theirs="1"))
    assert outcomes["Service/session-one"].status is Status.CONFIGURED
    assert labels(one, "Service", "session-one").items() >= {"ours": "2", "theirs": "1"}.items()
    one.is_settled()


def test_a_field_of_ours_that_they_changed_meanwhile_is_planned_again(
    one: Site, race: Race
) -> None:
    one.session("one", {"labels": {"ours": "2"}}, initialPrompt="Do it")
    outcomes = race(label(one, "Service", "session-one", ours="theirs"))
    assert outcomes["Service/session-one"].status is Status.CONFIGURED
    assert labels(one, "Service", "session-one")["ours"] == "2"
    one.is_settled()


def test_what_they_changed_to_our_new_value_is_done_already(one: Site, race: Race) -> None:
    one.merge("Service", "session-one", {"metadata": {"labels": {"ours": "drift"}}})
    outcomes = race(label(one, "Service", "session-one", ours="1"))
    assert outcomes["Service/session-one"].status is Status.UNCHANGED
    one.is_settled()


def test_a_forced_patch_meets_a_later_version_and_keeps_what_it_brought(
    one: Site, race: Race
) -> None:
    one.merge("Service", "session-one", {"metadata": {"labels": {"ours": "drift"}}})
    outcomes = race(label(one, "Service", "session-one", ours="more", theirs="1"))
    assert outcomes["Service/session-one"].status is Status.CONFIGURED
    assert labels(one, "Service", "session-one").items() >= {"ours": "1", "theirs": "1"}.items()


def test_an_object_that_was_replaced_by_another_is_not_overwritten(one: Site, race: Race) -> None:
    one.session("one", {"labels": {"ours": "2"}}, initialPrompt="Do it")
    spec = {"ports": [{"name": "theirs", "port": 1}]}

    def replace() -> None:
        one.remove("Service", "session-one")
        one.create("Service", {"metadata": {"name": "session-one"}, "spec": spec})

    outcome = race(replace)["Service/session-one"]
    assert outcome.status is Status.FAILED
    assert "has changed since the plan was made" in outcome.message
    live = one.get("Service", "session-one")
    assert [port["name"] for port in live["spec"]["ports"]] == ["theirs"]
    assert "labels" not in live["metadata"]


def test_an_object_that_is_gone_is_not_made_again_by_a_patch(one: Site, race: Race) -> None:
    one.session("one", {"labels": {"ours": "2"}}, initialPrompt="Do it")
    outcome = race(lambda: one.remove("Service", "session-one"))["Service/session-one"]
    assert outcome.status is Status.FAILED
    assert "Service/session-one" not in one.ours()
    one.apply()
    one.is_settled()


def test_an_object_that_is_being_deleted_is_not_patched(one: Site, race: Race) -> None:
    one.session("one", {"labels": {"ours": "2"}}, initialPrompt="Do it")
    one.merge("Service", "session-one", {"metadata": {"finalizers": ["example.com/wait"]}})

    def delete() -> None:
        label(one, "Service", "session-one", ours="theirs")()
        one.remove("Service", "session-one")

    race(delete)
    assert labels(one, "Service", "session-one")["ours"] == "theirs"
    one.merge("Service", "session-one", {"metadata": {"finalizers": None}})
    one.apply()
    one.is_settled()


def test_a_delete_meets_another_object_and_leaves_it(one: Site, race: Race) -> None:
    one.session("two")
    one.session("three")
    one.apply()
    one.forget("one")

    def replace() -> None:
        one.remove("Service", "session-one")
        ports = {"spec": {"ports": [{"name": "theirs", "port": 1}]}}
        one.create("Service", {"metadata": {"name": "session-one"}, **ports})

    outcomes = race(replace)
    assert outcomes["Service/session-one"].status is Status.FAILED
    assert LABEL_SESSION not in one.get("Service", "session-one")["metadata"].get("labels", {})
    one.apply()
    assert [name for name in one.everything() if "one" in name] == ["Service/session-one"]


def test_a_pod_that_began_its_work_meanwhile_is_not_replaced(one: Site, race: Race) -> None:
    before = one.get("Pod", "one-runner")["metadata"]["uid"]
    one.session("one", {"labels": {"ours": "1"}}, environmentVariables={"MODE": "other"})
    outcomes = race(lambda: one.start_pod("one-runner"))
    assert outcomes["Pod/one-runner"].status is Status.HELD
    assert one.get("Pod", "one-runner")["metadata"]["uid"] == before


def test_what_took_a_name_meanwhile_keeps_its_values(site: Site, race: Race) -> None:
    site.session("one", initialPrompt="Ours")
    theirs = {"metadata": {"name": "one-inputs"}, "data": {"INITIAL_PROMPT": "Theirs"}}
    outcomes = race(lambda: site.create("ConfigMap", theirs))
    assert outcomes["ConfigMap/one-inputs"].status is Status.FAILED
    assert "conflict" in outcomes["ConfigMap/one-inputs"].message
    live = site.get("ConfigMap", "one-inputs")
    assert live["data"] == theirs["data"]
    assert "labels" not in live["metadata"]
