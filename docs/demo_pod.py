"""The second half of `make demo`: a session's pod runs on this machine, is lost, and goes on.

Its containers are processes with exactly the variables, mounts, user and group of the rendered pod.
The runner is a double of the platform's; all other programs are the real ones, and S3 is embedded.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

from minio import Minio

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.model import ObjectRef, SessionId
from tests.local_pod.pod import LocalPod, exclusive, show_logs, wait_until
from tests.local_pod.session import (
    POD,
    build_store_secret,
    refresh,
    send_message,
    take_pod,
    use_runner,
)
from tests.runner.targets import DoubleTarget
from tests.s3 import motoserver
from tests.s3.access import S3Server

if TYPE_CHECKING:
    from docs.demo import Demo

Secrets: TypeAlias = dict[str, dict[str, str]]

BUCKET = "workspaces"
SESSION = SessionId("team-a", "triage")
FENCED = 6
_NOT_SHOWN = {"bridge started"}


def run_session(demo: "Demo") -> None:
    """Show all of it."""
    with exclusive(), motoserver.running() as server:
        address = server.url.removeprefix("http://")
        Minio(address, server.keys.access_key, server.keys.secret_key, secure=False).make_bucket(
            BUCKET
        )
        _show(demo, _build_secrets(server))


def _build_secrets(server: S3Server) -> Secrets:
    """The Secrets of the namespace: the keys of the store, and the model's key."""
    store = build_store_secret(server, BUCKET)
    return {"reconcile-storage": store, "ambient-runner-secrets": {"ANTHROPIC_API_KEY": "unused"}}


def _show(demo: "Demo", secrets: Secrets) -> None:
    demo.title("9. The session's pod runs, and its agent does its prompt")
    first = _start(demo, "pod-1", secrets)
    with _ending(demo, first):
        _wait_for_answer(demo, first, runs=1)
        demo.title("10. A changed prompt reaches the running session, without a new pod")
        demo.edit("team-a/triage.yaml", "write tickets.md sorted", "write summary.md short")
        demo.reconcile("apply", "desired")
        refresh(first, EmbeddedCluster(demo.state))
        _wait_for_answer(demo, first, runs=2)
        _wait_for_snapshot(first)
        demo.title("11. The pod is lost. The next one has the workspace, and repeats no prompt")
        _lose(demo, first)
        second = _start(demo, "pod-2", secrets)
        with _ending(demo, second):
            _show_files(second)
            _talk(demo, second)
        demo.title("12. The lost pod was not dead after all: it can harm nothing any more")
        _write_late(demo, first)


@contextlib.contextmanager
def _ending(demo: "Demo", pod: LocalPod) -> Iterator[None]:
    """Kill the pod's processes at the end; if something is missing, show what they have logged."""
    try:
        yield
    except (TimeoutError, RuntimeError) as error:
        demo.fail(str(error))
        show_logs(pod)
    finally:
        pod.lose()


def _start(demo: "Demo", name: str, secrets: Secrets) -> LocalPod:
    pod = take_pod(EmbeddedCluster(demo.state), SESSION, demo.home / name, secrets)
    use_runner(pod, DoubleTarget(), {"DOUBLE_PROMPT_DELAY": "0.5"})
    names = [*(pod.spec.get("initContainers") or ()), *pod.spec["containers"]]
    print(f"[{name}] starts {', '.join(each['name'] for each in names)}", flush=True)
    pod.start()
    return pod


def _wait_for_answer(demo: "Demo", pod: LocalPod, runs: int) -> None:
    """Wait for the end of so many runs, and show what the agent said in the last one."""
    wait_until(lambda: len(pod.files.find_events("RUN_FINISHED")) >= runs, f"the end of run {runs}")
    _show_log(pod, "bridge")
    demo.command(
        "jq -rj 'select(.type == \"TEXT_MESSAGE_CONTENT\") | .delta' .session/events.jsonl"
    )
    run = pod.files.find_events("RUN_FINISHED")[-1]["runId"]
    texts = pod.files.find_events("TEXT_MESSAGE_CONTENT")
    print("  " + "".join(each["delta"] for each in texts if each["run_id"] == run), flush=True)


def _wait_for_snapshot(pod: LocalPod) -> None:
    """Wait until a pass has begun and ended after the last run."""

    def count() -> int:
        return pod.containers["sync"].output.count('"committed"')

    before = count()
    (pod.workspace / "artifacts" / "done.txt").write_text("by hand\n", encoding="utf-8")
    wait_until(lambda: count() > before, "a snapshot")


def _lose(demo: "Demo", pod: LocalPod) -> None:
    """Kill all containers, and remove the pod as the control plane does with a lost node's."""
    pod.lose()
    metadata = pod.context.body["metadata"]
    cluster = EmbeddedCluster(demo.state)
    cluster.delete(POD, ObjectRef("", "Pod", SESSION.namespace, metadata["name"]), metadata["uid"])
    wait_until(
        lambda: all(
            each["metadata"]["uid"] != metadata["uid"]
            for each in cluster.list(POD, SESSION.namespace, {})
        ),
        "the end of the lost pod",
    )
    demo.reconcile("apply", "desired")


def _show_files(pod: LocalPod) -> None:
    _show_log(pod, "hydrate")
    for path in sorted((pod.workspace / "artifacts").iterdir()):
        print(f"  artifacts/{path.name}: {path.read_text(encoding='utf-8').strip()}")


def _talk(demo: "Demo", pod: LocalPod) -> None:
    """Send a message as a person does through `kubectl port-forward`."""
    asked = "the prompt call was answered 200"
    wait_until(lambda: asked in pod.containers["runner"].output, "the runner's question")
    print("  runner: asks for its prompt, and gets none: it was delivered before", flush=True)
    text = "What have you done so far?"
    body = {"messages": [{"id": "1", "role": "user", "content": text}]}
    path = f"api/projects/{SESSION.namespace}/agentic-sessions/{SESSION.name}/agui/run"
    demo.command(f"curl --json '{json.dumps(body)}' http://127.0.0.1:8095/{path}")
    send_message(pod, text)
    _wait_for_answer(demo, pod, runs=3)


def _write_late(demo: "Demo", pod: LocalPod) -> None:
    (pod.workspace / "late.txt").write_text("written by a pod that has been replaced\n")
    code = pod.start_container("sync").wait()
    _show_log(pod, "sync", last=1)
    print(f"  sync of pod-1 ended with exit code {code}", flush=True)
    if code != FENCED:
        demo.fail(f"expected {FENCED}")


def _show_log(pod: LocalPod, name: str, last: int = 0) -> None:
    hidden = {"time", "level", "event", "run", "digest", "pod", "record"}
    for line in pod.containers[name].output.splitlines()[-last:]:
        entry = json.loads(line)
        rest = {key: value for key, value in entry.items() if key not in hidden and value}
        if entry["event"] not in _NOT_SHOWN:
            print(f"  {name}: {entry['event']} {json.dumps(rest) if rest else ''}".rstrip())
