"""Takes a session's pod from a cluster, and runs it on this machine."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from reconcile.core.model import Kind, SessionId
from reconcile.engine.ports import Cluster
from tests.local_pod.pod import LocalPod, exclusive, show_logs
from tests.local_pod.resolve import PodContext
from tests.runner.targets import DoubleTarget, Target
from tests.s3.access import S3Server

POD = Kind("v1", "Pod")
CONFIG_MAP = Kind("v1", "ConfigMap")


def read_objects(
    cluster: Cluster, namespace: str, secrets: Mapping[str, Mapping[str, str]]
) -> dict[tuple[str, str], dict[str, str]]:
    """Read what volumes and variables may refer to; Secrets are given, since no pass reads them."""
    objects = {("Secret", name): dict(data) for name, data in secrets.items()}
    for body in cluster.list(CONFIG_MAP, namespace, {}):
        objects["ConfigMap", body["metadata"]["name"]] = dict(body.get("data") or {})
    return objects


def take_pod(
    cluster: Cluster, session: SessionId, folder: Path, secrets: Mapping[str, Mapping[str, str]]
) -> LocalPod:
    """Prepare a session's live pod to run below `folder`; `start` starts it."""
    body = cluster.get(POD, session.namespace, f"{session.name}-runner")
    return LocalPod(folder, PodContext(body, read_objects(cluster, session.namespace, secrets)))


def refresh(pod: LocalPod, cluster: Cluster) -> None:
    """Bring changed ConfigMaps and annotations into the pod's volumes, as the kubelet does."""
    metadata = pod.context.body["metadata"]
    secrets = {name: data for (kind, name), data in pod.context.objects.items() if kind == "Secret"}
    pod.context.body = cluster.get(POD, metadata["namespace"], metadata["name"])
    pod.context.objects = read_objects(cluster, metadata["namespace"], secrets)
    pod.refresh_volumes()


def build_store_secret(server: S3Server, bucket: str) -> dict[str, str]:
    """The Secret of the store, as the platform has it."""
    return {
        "STORAGE_MODE": "shared",
        "S3_ENDPOINT": server.url,
        "S3_BUCKET": bucket,
        "S3_REGION": "us-east-1",
        "S3_ACCESS_KEY": server.keys.access_key,
        "S3_SECRET_KEY": server.keys.secret_key,
    }


def use_runner(pod: LocalPod, target: Target, variables: Mapping[str, str]) -> None:
    """Let the runner's container be a runner under test, with further variables."""
    port = next(each["containerPort"] for each in pod.find("runner")["ports"])
    pod.commands = {**pod.commands, "runner": target.build_command(port)}
    pod.variables = {**pod.variables, "runner": {**target.variables, **variables}}
    pod.programs = target.folders


def send_message(pod: LocalPod, text: str) -> None:
    """Send a message to the agent as a person does through `kubectl port-forward`."""
    port = next(each["containerPort"] for each in pod.find("bridge")["ports"])
    variables = {each["name"]: each.get("value") for each in pod.find("bridge")["env"]}
    session = variables["RECONCILE_RUNNER_SESSION"]
    path = f"api/projects/{pod.namespace}/agentic-sessions/{session}/agui/run"
    body = {"messages": [{"id": "1", "role": "user", "content": text}]}
    with httpx.Client(trust_env=False) as client:
        client.post(f"http://127.0.0.1:{port}/{path}", json=body).raise_for_status()


@dataclass
class LocalSession:
    """A session whose pods run on this machine with a runner under test, one after the other.

    `secrets` are the data of Secrets by name.
    """

    cluster: Cluster
    session: SessionId
    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    target: Target = field(default_factory=DoubleTarget)
    pods: list[LocalPod] = field(default_factory=list)

    def take(self, **variables: str) -> LocalPod:
        """Take the session's pod from the cluster; the variables are the double's."""
        folder = self.folder / f"pod-{len(self.pods) + 1}"
        pod = take_pod(self.cluster, self.session, folder, self.secrets)
        short = {"DOUBLE_PROMPT_DELAY": "0.2", "DOUBLE_RETRY_SECONDS": "0.2"}
        use_runner(pod, self.target, {**short, **variables})
        self.pods.append(pod)
        return pod

    def start(self, **variables: str) -> LocalPod:
        """Take the session's pod, and start it."""
        pod = self.take(**variables)
        pod.start()
        return pod


@contextlib.contextmanager
def running(session: LocalSession) -> Iterator[LocalSession]:
    """Have this machine's ports, end all processes at the end, and show logs after a failure."""
    with exclusive():
        try:
            yield session
        except BaseException:
            for pod in session.pods:
                show_logs(pod)
            raise
        finally:
            for pod in session.pods:
                pod.lose()
