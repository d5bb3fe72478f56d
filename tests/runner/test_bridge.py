"""The bridge as a process next to the double of the runner."""

import concurrent.futures
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import orjson
import pytest

from reconcile.runner.bridge import BridgeSettings, run_bridge
from reconcile.runner.credentials import Credentials
from tests.runner.bridge_pod import NAMESPACE, SESSION, BridgePod, until

CANARY = "canary-0123456789abcdef"
PROMPT = {"INITIAL_PROMPT": "hello"}
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}
"""What the HTTP library would complain about in the log, for each request."""


@pytest.fixture
def pods(tmp_path):
    """Make pods; their bridges are killed at the end."""
    made = []

    def make(uid="pod-1", workspace=None):
        made.append(BridgePod(tmp_path, uid, workspace))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_prompt_runs_once_and_its_answer_is_in_the_workspace(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT):
        until(pod.is_ready)
        until(lambda: pod.marks and pod.marks[0]["run"] == "finished")
        assert pod.answers == ["Turn 1: hello"]
        assert pod.read_metric('reconcile_bridge_runs_total{result="finished"}') == 1
        assert pod.end() == 128 + signal.SIGTERM

    following = pods("pod-2", pod.workspace)
    following.declare(**PROMPT)
    following.start()
    with following.running_runner(**PROMPT):
        repeated = 'reconcile_bridge_prompt_deliveries_total{result="repeated"}'
        until(lambda: following.read_metric(repeated) == 1)
        assert following.is_ready()
        assert following.send("more").json()["threadId"] == SESSION
        until(lambda: len(following.answers) == 2)
        assert following.answers == ["Turn 1: hello", "Turn 2: more"]
        assert len(following.marks) == 1


def test_it_is_not_ready_before_the_prompt_is_delivered(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    answer = until(lambda: pod.get("/readyz"))
    assert (answer.status_code, answer.json()["reason"]) == (503, "the prompt is not delivered yet")
    with pod.running_runner(**PROMPT):
        until(pod.is_ready)


def test_without_a_prompt_it_is_ready_at_once(pods):
    pod = pods()
    pod.declare()
    pod.start()
    until(pod.is_ready)


def test_a_run_that_says_nothing_is_reported_and_stays_ready(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start(SILENT_SECONDS="0.2")
    with pod.running_runner(**PROMPT, DOUBLE_RUN="silent"):
        until(lambda: pod.read_metric("reconcile_bridge_silent") == 1)
        answer = pod.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert "said nothing for 0.2 s" in answer.json()["reason"]


@pytest.mark.parametrize("fault", ["endless", "silent"])
def test_a_run_that_never_ends_is_never_idle(pods, fault):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start(INACTIVITY_SECONDS="0.5", STOP_ON_RUN_FINISHED="true", QUIET_SECONDS="0")
    with pod.running_runner(**PROMPT, DOUBLE_RUN=fault):
        until(lambda: pod.read_metric("reconcile_bridge_open_runs") == 1)
        time.sleep(5)  # Two looks, and more.
        assert pod.process.poll() is None
        assert [each["run"] for each in pod.marks] == ["open"]


def test_a_model_that_refuses_the_key_is_reported_while_it_is_silent_and_then_has_failed(pods):
    pod = pods()
    prompt = {"INITIAL_PROMPT": "unauthorized"}
    pod.declare(**prompt)
    pod.start(SILENT_SECONDS="0.5", STOP_ON_RUN_FINISHED="true", QUIET_SECONDS="0")
    with pod.running_runner(**prompt, DOUBLE_REFUSED_SECONDS="5"):
        until(lambda: pod.read_metric("reconcile_bridge_silent") == 1)
        until(lambda: [each["run"] for each in pod.marks] == ["failed"])
        assert pod.read_metric("reconcile_bridge_silent") == 0
        assert pod.read_metric('reconcile_bridge_runs_total{result="failed"}') == 1
        assert pod.is_ready()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"DOUBLE_RUN": "401"}, "401"),
        ({"DOUBLE_RUN": "500"}, "500"),
        (None, "has not started"),
    ],
)
def test_a_prompt_that_cannot_be_delivered_ends_the_session_with_the_reason(pods, fault, reason):
    pod = pods()
    pod.declare(**PROMPT)
    if fault is None:
        pod.start(START_SECONDS="1", DELIVERY_SECONDS="1")
        assert pod.wait() == 0
    else:
        with pod.running_runner(**PROMPT, **fault):
            pod.start(DELIVERY_SECONDS="1")
            assert pod.wait() == 0
    assert pod.termination["ended"] == "prompt-not-delivered"
    assert reason in pod.termination["message"]
    assert not pod.marks


def test_a_first_run_that_fails_ends_the_session_and_the_next_start_ends_again(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT, DOUBLE_RUN="run-error"):
        assert pod.wait() == 0
    first = pod.termination
    assert first["ended"] == "run-failed"
    assert first["message"] == "the model has no key"
    assert first["runs"] == {"finished": 0, "failed": 1}

    (pod.folder / "termination-log").unlink()
    pod.start()
    assert pod.wait() == 0
    assert pod.termination == first


def test_another_pod_does_not_end_because_one_before_it_has(pods):
    pod = pods()
    pod.declare()
    end = {"podUid": "pod-0", "message": {"ended": "inactive"}}
    (pod.folder / "state/end.json").write_bytes(orjson.dumps(end))
    pod.start()
    until(pod.is_ready)


def test_a_run_that_finished_ends_the_session_after_a_quiet_moment(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start(STOP_ON_RUN_FINISHED="true", QUIET_SECONDS="0.2")
    with pod.running_runner(**PROMPT):
        assert pod.wait() == 0
    assert pod.termination["ended"] == "run-finished"
    assert pod.termination["runs"] == {"finished": 1, "failed": 0}
    assert pod.answers == ["Turn 1: hello"]


@pytest.mark.parametrize(
    "fault", ["break", "typeless", "not-json", "invalid-utf8", "huge", "no-result"]
)
def test_a_runner_that_misbehaves_does_not_stop_the_bridge(pods, fault):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT, DOUBLE_RUN=fault, DOUBLE_RUN_TIMES="1"):
        until(pod.is_ready)
        until(lambda: pod.read_metric("reconcile_bridge_open_runs") == 0)
        pod.send("more")
        until(lambda: any("more" in answer for answer in pod.answers))
        assert peak_memory(pod) < 64 << 10
    assert pod.end() == 143


def peak_memory(pod):
    """Return the most memory that the bridge has had, in KiB."""
    status = Path(f"/proc/{pod.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_a_bridge_that_was_killed_does_not_repeat_the_prompt(pods):
    pod = pods()
    pod.declare(INITIAL_PROMPT="sleep 60")
    pod.start()
    with pod.running_runner(INITIAL_PROMPT="sleep 60"):
        until(pod.is_ready)
        pod.end(signal.SIGKILL)
        assert [each["run"] for each in pod.marks] == ["open"]
        pod.start()
        until(pod.is_ready)
        until(lambda: pod.marks[0]["run"] == "interrupted")
        assert pod.read_metric('reconcile_bridge_runs_total{result="failed"}') == 0
    assert b"started again" in pod.log.read_bytes()


def test_a_run_that_nobody_reads_after_a_restart_is_interrupted(pods):
    """The runner goes on with it: without an end, the next message would wait for a minute."""
    pod = pods()
    pod.declare(INITIAL_PROMPT="sleep 60")
    pod.start()
    with pod.running_runner(INITIAL_PROMPT="sleep 60"):
        until(pod.is_ready)
        until(lambda: any(pod.workspace.glob(".claude/projects/*/*.jsonl")))
        pod.end(signal.SIGKILL)
        pod.start()
        until(pod.is_ready)
        pod.send("more")
        until(lambda: pod.answers == ["Turn 2: more"])


def test_before_the_end_of_the_pod_the_open_run_is_interrupted(pods):
    pod = pods()
    pod.declare(INITIAL_PROMPT="sleep 60")
    pod.start()
    with pod.running_runner(INITIAL_PROMPT="sleep 60") as runner:
        until(pod.is_ready)
        until(lambda: any(each["type"] == "RUN_STARTED" for each in pod.events))
        assert pod.http.post("/prestop").json() == {"idle": True}
        runner.send_term()
        assert runner.has_ended_after(2)
        assert pod.send("more").status_code == 429
        assert pod.end() == 143
    assert [each["run"] for each in pod.marks] == ["open"]
    assert pod.events[-1]["type"] == "RUN_FINISHED"


def test_a_plain_sidecar_interrupts_the_open_run_when_it_gets_sigterm_first(pods):
    pod = pods()
    pod.declare(INITIAL_PROMPT="sleep 60")
    pod.start()
    with pod.running_runner(INITIAL_PROMPT="sleep 60") as runner:
        until(lambda: list(pod.workspace.glob(".claude/projects/*/*.jsonl")))
        assert pod.end() == 143
        runner.send_term()
        assert runner.has_ended_after(2)
    assert [each["run"] for each in pod.marks] == ["open"]
    assert pod.events[-1]["type"] == "RUN_FINISHED"


def test_a_run_that_cannot_be_interrupted_does_not_delay_the_end(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT, DOUBLE_RUN="silent"):
        until(pod.is_ready)
        assert pod.http.post("/prestop", timeout=20).json() == {"idle": False}
        assert pod.end() == 143


def test_sigint_ends_it_too(pods):
    pod = pods()
    pod.declare()
    pod.start()
    until(pod.is_ready)
    assert pod.end(signal.SIGINT) == 130


def test_requests_without_end_do_not_stop_it(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    until(lambda: pod.get("/readyz"))
    path = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/credentials/github"

    def flood(_):
        with httpx.Client(base_url=f"http://127.0.0.1:{pod.port}", trust_env=False) as client:
            return {client.get(path, headers=UPGRADE).status_code for _ in range(125)}

    with pod.running_runner(**PROMPT), concurrent.futures.ThreadPoolExecutor(8) as threads:
        codes = set().union(*threads.map(flood, range(8)))
        until(lambda: pod.answers == ["Turn 1: hello"])
    assert codes == {404}
    assert pod.end() == 143
    assert len(pod.log.read_bytes().splitlines()) < 20


def test_no_secret_leaves_it(pods):
    pod = pods()
    (pod.credentials / "github").mkdir()
    (pod.credentials / "github/token").write_text(CANARY)
    sources = [{"provider": "github", "secretName": "git", "keys": {"token": "token"}}]
    prompt = f"say {CANARY} and ghp_{'a1' * 18}"
    pod.declare(INITIAL_PROMPT=prompt)
    pod.start(CREDENTIAL_SOURCES=orjson.dumps(sources).decode())
    with pod.running_runner(INITIAL_PROMPT=prompt):
        until(lambda: pod.answers)
        metrics = pod.get("/metrics").text
        path = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/credentials/github"
        assert pod.get(path).json()["token"] == CANARY
    assert pod.end() == 143
    events = (pod.workspace / ".session/events.jsonl").read_text()
    marks = (pod.workspace / ".session/prompt.json").read_text()
    for text in (metrics, events, marks, pod.log.read_text()):
        assert "canary" not in text
        assert "ghp_" not in text


def test_a_changed_prompt_is_delivered_while_it_runs(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT):
        until(lambda: pod.answers)
        pod.declare(INITIAL_PROMPT="more")
        until(lambda: pod.answers == ["Turn 1: hello", "Turn 2: more"])
        until(lambda: [each["run"] for each in pod.marks] == ["finished", "finished"])


def test_a_session_folder_that_the_agent_replaces_stops_nothing(pods, tmp_path):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    target = tmp_path / "target"
    target.mkdir()
    with pod.running_runner(**PROMPT):
        until(lambda: pod.marks and pod.marks[0]["run"] == "finished")
        (pod.workspace / ".session").rename(tmp_path / "old")
        (pod.workspace / ".session").symlink_to(target)
        pod.send("more")
        until(lambda: not (pod.workspace / ".session").is_symlink())
        until(lambda: pod.answers == ["Turn 2: more"])
    assert not list(target.iterdir())


def test_a_port_that_is_in_use_is_an_error_in_words(pods):
    pod = pods()
    pod.declare()
    with socket.create_server(("127.0.0.1", pod.port)):
        pod.start()
        assert pod.wait() == 1
    assert "Address already in use" in pod.termination["error"]
    assert b"Traceback" not in pod.log.read_bytes()


def test_a_pod_without_its_uid_is_an_error_in_words(pods):
    pod = pods()
    (pod.folder / "podinfo/uid").write_text("\n")
    pod.start()
    assert pod.wait() == 1
    assert "metadata.uid" in pod.termination["error"]


def find_own_address():
    """Return an address of this machine that is not loopback; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return probe.getsockname()[0]


def test_the_pods_address_has_probes_alone(pods):
    address = find_own_address()
    if not address:
        pytest.skip("this machine has no address but loopback")
    pod = pods()
    pod.declare()
    pod.start(HOST=address)
    assert until(lambda: pod.get("/readyz")).status_code == 404
    with httpx.Client(base_url=f"http://{address}:{pod.port}", trust_env=False) as outside:
        until(lambda: outside.get("/readyz").status_code == 200)
        assert outside.get("/metrics").status_code == 200
        assert outside.post("/prestop").status_code == 404
        path = f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/credentials/github"
        assert outside.get(path).json() == {"error": "there are /readyz and /metrics"}
    assert pod.http.post("/prestop").status_code == 200


@pytest.mark.parametrize(
    "variables", [{"PORT": "x"}, {"ON_INTERRUPTED_RUN": "Never"}, {"CREDENTIAL_SOURCES": "{"}]
)
def test_a_wrong_setting_is_a_usage_error(pods, variables):
    pod = pods()
    pod.start(**variables)
    assert pod.wait() == 2
    assert b"Traceback" not in pod.log.read_bytes()


def test_it_needs_little_memory_when_idle(pods):
    pod = pods()
    pod.declare(**PROMPT)
    pod.start()
    with pod.running_runner(**PROMPT):
        until(lambda: pod.answers)
        assert peak_memory(pod) < 48 << 10


def build_settings(pod, **settings):
    return BridgeSettings(
        namespace=NAMESPACE,
        session=SESSION,
        workspace=pod.workspace,
        inputs=pod.inputs,
        state=pod.folder / "state",
        credentials=Credentials(pod.credentials),
        termination_log=pod.folder / "termination-log",
        pod_info=pod.folder / "podinfo",
        port=pod.port,
        runner_port=pod.runner_port,
        **settings,
    )


def test_in_this_process_it_ends_on_sigterm(pods):
    pod = pods()
    pod.declare(**PROMPT)

    def use():
        try:
            until(pod.is_ready)
            until(lambda: pod.answers)
            pod.get(f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/credentials/github")
            return pod.http.post("/prestop").json(), pod.get("/metrics").text
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    with pod.running_runner(**PROMPT), concurrent.futures.ThreadPoolExecutor(1) as threads:
        used = threads.submit(use)
        assert run_bridge(build_settings(pod)) == 143
        answer, metrics = used.result()
    assert answer == {"idle": True}
    assert "reconcile_bridge_prompt_delivered 1.0" in metrics


def test_in_this_process_it_remembers_its_end(pods):
    pod = pods()
    pod.declare(**PROMPT)
    settings = build_settings(pod, start_seconds=0.1)
    assert run_bridge(settings) == 0
    message = pod.termination
    assert message["ended"] == "prompt-not-delivered"
    (pod.folder / "termination-log").unlink()
    assert run_bridge(settings) == 0
    assert pod.termination == message
    (pod.folder / "state/end.json").write_bytes(b"{damaged")
    assert run_bridge(settings) == 0


def test_in_this_process_a_port_in_use_is_an_error(pods):
    pod = pods()
    pod.declare()
    with socket.create_server(("127.0.0.1", pod.port)):
        assert run_bridge(build_settings(pod)) == 1
