"""Takes a session's pod from a cluster, and runs it on this machine."""

from collections.abc import Mapping
from pathlib import Path

from reconcile.core.model import Kind, SessionId
from reconcile.engine.ports import Cluster
from tests.local_pod.pod import LocalPod
from tests.local_pod.resolve import PodContext

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
