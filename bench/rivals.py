"""The baseline: plain HTTP requests from one process, run as `python -m bench.rivals`.

`apply` sends the bodies of a file by parallel server-side applies and does nothing else, which is
the limit of the server itself. `fetch` reads the lists that a pass reads, and only decodes them.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from bench.measure import function
from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.connect import ConnectOptions, connect
from reconcile.core.model import Kind
from reconcile.engine.ports import ApplyOptions

WORKERS = 16
"""More threads are not faster on two cores that the server shares."""

_KINDS = (
    Kind("v1", "ConfigMap"),
    Kind("v1", "ServiceAccount"),
    Kind("networking.k8s.io/v1", "NetworkPolicy"),
    Kind("v1", "Service"),
    Kind("v1", "Pod"),
)


def apply_all(cluster: KubeCluster, bodies: list[dict[str, Any]]) -> None:
    """Apply every body, pods last."""
    options = ApplyOptions("plain-http")
    pods = [body for body in bodies if body["kind"] == "Pod"]
    rest = [body for body in bodies if body["kind"] != "Pod"]
    with ThreadPoolExecutor(WORKERS) as pool:
        for batch in (rest, pods):
            for _ in pool.map(lambda body: cluster.apply(body, options), batch):
                pass


def fetch_all(cluster: KubeCluster, namespace: str, labels: dict[str, str]) -> int:
    """Fetch and decode every list of a pass; returns the number of objects."""
    return sum(1 for kind in _KINDS for _ in cluster.list(kind, namespace, labels))


def main(arguments: list[str]) -> None:
    """Run `apply` or `fetch`."""
    what, kubeconfig, *rest = arguments
    cluster = connect(kubeconfig, None, ConnectOptions(max_connections=WORKERS))
    if what == "apply":
        apply_all(cluster, orjson.loads(Path(rest[0]).read_bytes())["items"])
    else:
        labels = orjson.loads(rest[1])
        cost = function(lambda: fetch_all(cluster, rest[0], labels), times=3)
        print(orjson.dumps(cost).decode())


if __name__ == "__main__":
    main(sys.argv[1:])
