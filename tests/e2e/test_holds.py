"""Running work is not ended by chance, and no commit ends too much at once."""

import pytest

from reconcile.cli.exit_codes import ExitCode
from reconcile.core.model import ANNOTATION_INPUTS_DIGEST
from tests.e2e.site import Object, Site

pytestmark = pytest.mark.cluster

NEW = {"image": "registry.example/runner:2"}
GRACE = {"terminationGracePeriodSeconds": 90}
RECREATE = {"strategy": "Recreate"}


@pytest.fixture
def running(site: Site) -> Site:
    """A session whose pod has begun its work."""
    site.session("one")
    site.apply()
    site.start_pod("one-runner")
    return site


def pod(site: Site, session: str = "one") -> Object:
    return site.get("Pod", f"{session}-runner")


def uid(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def image(obj: Object) -> str:
    return str(obj["spec"]["containers"][0]["image"])


@pytest.mark.parametrize(
    "change",
    [{"runner": NEW}, {"environmentVariables": {"A": "1"}}, {"initialPrompt": "Something else"}],
    ids=["an image", "a variable", "the first prompt"],
)
def test_a_change_that_would_end_running_work_is_held(running: Site, change: Object) -> None:
    before = pod(running)
    running.session("one", displayName="Renamed", **change)
    [held] = [each for each in running.plan() if each["action"] == "hold"]
    assert (held["kind"], held["name"]) == ("Pod", "one-runner")
    # Held changes are not failures, and harmless changes are applied.
    ended = running.apply(expect=ExitCode.OK)
    assert "1 held" in ended.out
    assert pod(running)["metadata"]["uid"] == uid(before)
    assert image(pod(running)) == image(before)
    record = running.get("ConfigMap", "session-one")["data"]
    assert record["displayName"] == "Renamed"
    assert "RUNNING_WORK" in record["status"]


INPUTS = {
    "another prompt": ({"initialPrompt": "Something else"}, "INITIAL_PROMPT"),
    "a repository": ({"repos": [{"url": "https://git.example/a.git"}]}, "REPOS_JSON"),
    "a workflow": (
        {"activeWorkflow": {"gitUrl": "https://git.example/w.git"}},
        "ACTIVE_WORKFLOW_GIT_URL",
    ),
    "a model": ({"llmSettings": {"model": "other"}}, "LLM_MODEL"),
}
WORK: Object = {"initialPrompt": "Do it"}


@pytest.mark.parametrize(("change", "key"), INPUTS.values(), ids=INPUTS.keys())
def test_what_a_running_session_is_to_do_changes_in_place(
    site: Site, change: Object, key: str
) -> None:
    site.session("one", **WORK)
    site.apply()
    site.start_pod("one-runner")
    before, inputs = pod(site), site.get("ConfigMap", "one-inputs")["data"]
    site.session("one", **(WORK | change))
    actions = {(each["kind"], each["action"]) for each in site.plan()}
    assert {action for kind, action in actions} == {"patch"}
    assert ("Pod", "patch") in actions
    site.apply()
    after = pod(site)
    assert uid(after) == uid(before)
    assert after["spec"] == before["spec"]
    digests = {
        each["metadata"]["annotations"][ANNOTATION_INPUTS_DIGEST] for each in (before, after)
    }
    assert len(digests) == 2
    changed = site.get("ConfigMap", "one-inputs")["data"].items() ^ inputs.items()
    assert {name for name, _ in changed} == {key}
    site.is_settled()


def test_what_the_runner_does_not_read_changes_nothing_in_its_pod(running: Site) -> None:
    before = pod(running)
    unread: Object = {"interactive": False, "timeout": 1000, "autoPushOnComplete": True}
    running.session("one", **unread, llmSettings={"temperature": 1, "maxTokens": 1})
    assert "Pod" not in {each["kind"] for each in running.plan()}
    running.apply()
    assert pod(running) == before
    running.is_settled()


def test_a_held_change_is_written_down_once(running: Site) -> None:
    running.session("one", environmentVariables={"A": "1"})
    running.apply()
    mark = running.plane.audit().mark()
    running.apply()
    assert running.writes(mark) == []
    running.diff(expect=ExitCode.CHANGES)


def test_a_pod_that_never_started_is_not_waited_for(site: Site) -> None:
    site.session("one")
    site.apply()
    before = pod(site)
    site.session("one", environmentVariables={"A": "1"})
    site.apply()
    assert uid(pod(site)) != uid(before)
    site.is_settled()


def test_a_session_that_has_ended_is_not_run_again_by_a_change(running: Site) -> None:
    before = pod(running)
    running.start_pod("one-runner", "Succeeded")
    running.session("one", environmentVariables={"A": "1"})
    running.apply()
    assert uid(pod(running)) == uid(before)
    running.session("one", environmentVariables={"A": "1"}, update=RECREATE)
    running.apply()
    assert uid(pod(running)) != uid(before)
    running.is_settled()


@pytest.mark.parametrize("runner", [NEW, {"image": "registry.example/runner:1"} | GRACE])
def test_recreate_releases_a_hold(running: Site, runner: Object) -> None:
    running.session("one", runner=runner)
    running.apply()
    running.session("one", runner=runner, update=RECREATE)
    running.apply()
    spec = pod(running)["spec"]
    assert image(pod(running)) == runner["image"]
    assert spec["terminationGracePeriodSeconds"] == runner.get("terminationGracePeriodSeconds", 60)
    running.is_settled()


def test_an_approval_by_name_releases_a_hold(running: Site) -> None:
    before = pod(running)
    running.session("one", environmentVariables={"A": "1"})
    running.apply()
    running.policy(allowRestarts=[f"{running.namespace}/one"])
    running.apply()
    assert uid(pod(running)) != uid(before)
    running.policy()
    running.is_settled()


def test_stopping_a_session_ends_its_pod_and_keeps_the_rest(running: Site) -> None:
    before = running.ours()
    running.session("one", environmentVariables={"A": "1"})
    running.apply()
    running.session("one", environmentVariables={"A": "1"}, state="Stopped")
    running.apply()
    assert before.keys() - running.ours().keys() == {"Pod/one-runner"}
    running.is_settled()
    running.session("one", environmentVariables={"A": "1"})
    running.apply()
    env = {each["name"]: each.get("value") for each in pod(running)["spec"]["containers"][0]["env"]}
    assert env["A"] == "1"
    running.is_settled()


def test_drift_of_a_running_pod_is_healed_where_nothing_restarts(running: Site) -> None:
    running.merge("Pod", "one-runner", {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}})
    [drift] = running.plan()
    assert drift["action"] == "patch"
    running.apply()
    assert pod(running)["metadata"]["labels"]["app.kubernetes.io/name"] == "agent-session"
    running.is_settled()


def test_drift_whose_healing_would_restart_is_held(running: Site) -> None:
    images = [{"name": "runner", "image": "registry.example/other:1"}]
    running.edit(
        "Pod",
        "one-runner",
        {"op": "replace", "path": "/spec/containers/0/image", "value": images[0]["image"]},
    )
    running.apply()
    assert image(pod(running)) == images[0]["image"]
    assert [change["action"] for change in running.plan()] == ["hold"]


def test_a_policy_that_reports_changes_nothing_that_others_changed(running: Site) -> None:
    running.policy(onConflict="report")
    running.merge("Pod", "one-runner", {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}})
    ended = running.apply(expect=ExitCode.HELD)
    assert "onConflict: heal" in ended.out
    assert pod(running)["metadata"]["labels"]["app.kubernetes.io/name"] == "x"


def test_more_deletes_than_the_budget_are_all_held_until_they_are_approved(site: Site) -> None:
    names = ["one", "two", "three", "four", "five"]
    for name in names:
        site.session(name)
    site.apply()
    site.forget("one", "two")
    site.session("six")
    ended = site.apply(expect=ExitCode.HELD)
    assert "the delete budget is exceeded" in ended.out
    left = site.ours()
    assert {f"Pod/{name}-runner" for name in [*names, "six"]} <= left.keys()
    site.policy(allowDeletes=[f"{site.namespace}/one"])
    site.apply()
    left = site.ours()
    assert not [name for name in left if name.endswith(("-one", "/one-runner", "/one-inputs"))]
    assert not [name for name in left if name.endswith(("-two", "/two-runner", "/two-inputs"))]
    site.is_settled()


def test_more_restarts_than_the_budget_are_all_held_until_they_are_approved(site: Site) -> None:
    names = ["one", "two", "three"]
    for name in names:
        site.session(name, update=RECREATE)
    site.apply()
    before = {name: uid(pod(site, name)) for name in names}
    for name in names:
        site.start_pod(f"{name}-runner")
        site.session(name, update=RECREATE, environmentVariables={"A": "1"})
    ended = site.apply(expect=ExitCode.HELD)
    assert "the restart budget is exceeded" in ended.out
    assert {name: uid(pod(site, name)) for name in names} == before
    site.policy(budgets={"restarts": {"atLeast": 3}})
    site.apply()
    assert {name for name in names if uid(pod(site, name)) == before[name]} == set()
    site.is_settled()
