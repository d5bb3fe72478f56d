"""What `status` shows of pods, as kubelets and controllers report them to a real server."""

import json

import pytest

from reconcile.cli.exit_codes import ExitCode
from tests.core.lifecycle.kubelet_pods import (
    HYDRATED,
    INITIALIZING,
    SYNCING,
    WORKING,
    conditions,
    container,
    pod,
    terminated,
    waiting,
)
from tests.e2e import rights
from tests.e2e.site import READER, Object, RunResult, Site

pytestmark = pytest.mark.cluster

SECRET = "c4n4ry-5f0e8d1b7a"


@pytest.fixture
def one(site: Site) -> Site:
    """A site with one session."""
    site.session("one", environmentVariables={"API_TOKEN": SECRET})
    site.apply()
    return site


def report(site: Site, given: Object) -> None:
    """Report the status of such a pod, as far as this server knows its fields."""
    site.report_pod("one-runner", given["status"])


def run_status(site: Site, *arguments: str) -> RunResult:
    """Run `status` with the rights of `deploy/reader`: it may not read nodes."""
    kubeconfig = site.plane.service_account_kubeconfig(site.namespace, READER)
    ended = site.run("status", *arguments, kubeconfig=kubeconfig)
    assert ended.code == ExitCode.OK, str(ended)
    return ended


def shown(site: Site) -> tuple[Object, list[str]]:
    """The session in JSON, and the lines of text below its row."""
    [session] = json.loads(run_status(site, "-o", "json").out)["sessions"]
    _, row, *lines = run_status(site).out.splitlines()
    assert row.split()[:4] == [site.namespace, "one", "Running", session["phase"]]
    return session, [line for line in lines if line]


FLUSH = {"outcome": "partial", "generation": 17, "partial": True, "missingFiles": 3}
FLUSH |= {"missingBytes": 4096, "overLimitEntries": 0, "seconds": 24.1}


def test_a_restarted_sidecar_says_why_it_ended_in_words(one: Site) -> None:
    message = json.dumps(FLUSH | {"reason": f"{'x' * 900} {SECRET}\u202e"}) + "\n"
    sync = container("sync", SYNCING["state"], terminated(8, message=message), 3)
    report(one, pod(containers=(HYDRATED, sync, WORKING)))
    session, [line] = shown(one)
    assert (session["phase"], session["reason"], session["restarts"]) == ("Running", "", 3)
    assert line.startswith(
        "  init container sync was restarted 3 times; before, it ended with exit code 8: "
        "not everything is stored: xxx"
    )
    assert line.endswith("the last generation is 17 and lacks 3 files with 4096 bytes")
    assert session["details"] == [line.strip()]
    assert SECRET not in str(session)


def test_a_restore_that_failed_is_replaced_by_the_next_pass(one: Site) -> None:
    event = {"level": "warning", "event": "failed", "error": f"{SECRET} is\nrefused"}
    hydrate = container("hydrate", terminated(4, message=json.dumps(event)))
    report(one, pod("Failed", (hydrate, container("sync", INITIALIZING["state"]), INITIALIZING)))
    session, lines = shown(one)
    assert (session["phase"], session["reason"]) == ("Failed", "Error")
    assert lines[0].startswith("  init container hydrate ended with exit code 4: failed: ")
    assert lines[0].endswith(" is | refused")
    assert SECRET not in lines[0]
    assert lines[1].startswith(f"{one.namespace}/one: the next pass replaces the pod")
    before = one.get("Pod", "one-runner")["metadata"]["uid"]
    one.apply()
    assert one.get("Pod", "one-runner")["metadata"]["uid"] != before


def test_an_image_that_cannot_be_pulled_says_why(one: Site) -> None:
    state = waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/runner:1"')
    report(one, pod("Pending", (HYDRATED, SYNCING, container("runner", state))))
    session, [line] = shown(one)
    assert (session["phase"], session["reason"]) == ("Pending", "ImagePullBackOff")
    assert line == (
        "  container runner waits (ImagePullBackOff): "
        'Back-off pulling image "registry.example/runner:1"'
    )


def test_an_evicted_session_says_what_size_was_exceeded_and_goes_on_in_a_new_pod(
    one: Site,
) -> None:
    message = 'Usage of EmptyDir volume "workspace" exceeds the limit "10Gi". '
    target = conditions(DisruptionTarget=("True", "TerminationByKubelet", message))
    report(one, pod("Failed", reason="Evicted", message=message, conditions=target))
    session, lines = shown(one)
    assert (session["phase"], session["reason"]) == ("Failed", "Evicted")
    assert lines[0].strip() == message.strip()
    assert "to continue the work in a new pod, delete its pod" in lines[-1]
    one.remove("Pod", "one-runner")
    one.apply()
    assert shown(one)[0]["phase"] == "Pending"


def test_a_lost_node_is_seen_without_rights_on_nodes(one: Site) -> None:
    report(one, pod(conditions=conditions(Ready="False")))
    session, lines = shown(one)
    assert (session["phase"], session["reason"]) == ("Unknown", "NodeLost")
    assert lines[0] == "  the node does not answer"
    assert "the work continues when the node answers again" in lines[-1]


def test_a_session_that_has_ended_says_how_it_is_started_again_and_is(one: Site) -> None:
    done = container("runner", terminated(0, "Completed", "all tests pass\n"))
    report(one, pod("Succeeded", (HYDRATED, container("sync", terminated(0, "Completed")), done)))
    session, lines = shown(one)
    assert (session["phase"], session["reason"]) == ("Completed", "")
    assert lines[0] == "  container runner ended with exit code 0: all tests pass"
    assert lines[-1].endswith("apply it with `state: Stopped`, and then with `state: Running`")
    for state in ("Stopped", "Running"):
        one.session("one", state=state)
        one.apply()
    assert shown(one)[0]["phase"] == "Pending"


def test_the_pod_and_the_record_have_ages_of_their_own(one: Site) -> None:
    session, _ = shown(one)
    assert session["ageSeconds"] >= 0
    assert session["recordAgeSeconds"] >= session["ageSeconds"]
    one.remove("Pod", "one-runner")
    assert shown(one)[0]["ageSeconds"] is None


def test_readable_namespaces_and_declared_sessions_are_shown_although_one_is_forbidden(
    one: Site,
) -> None:
    forbidden = one.plane.fresh_namespace("e2e")
    one.session("two", folder=forbidden)
    one.session("three")
    rules = [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["list"]}]
    kubeconfig = rights.account(one.plane, one.namespace, rules, "/pods")
    ended = one.run("status", kubeconfig=kubeconfig)
    assert ended.code == ExitCode.UNREACHABLE, str(ended)
    names = [line.split()[1] for line in ended.out.splitlines() if not line.startswith(" ")]
    assert names == ["SESSION", "one", "three"]
    assert "it is declared, and no pass has created it yet" in ended.out
    assert forbidden in ended.err
