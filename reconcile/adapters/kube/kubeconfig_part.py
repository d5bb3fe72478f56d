"""Which server and which user: kubeconfig files, found and merged as kubectl does.

pykube-ng reads one file and resolves every cluster and user in it; so the files are read here, and
it gets the one context that is meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconcile.adapters.kube import kubeconfig as contexts
from reconcile.adapters.kube.kubeconfig import Target
from reconcile.core.errors import ClusterError

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its account."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where to look.

    `kubeconfig` and `context` are what the user asked for, if anything; `environ` is the program's
    environment; `service_account` is the folder that a pod has.
    """

    kubeconfig: str | None
    context: str | None
    environ: Mapping[str, str] = field(repr=False)
    service_account: Path = SERVICE_ACCOUNT


def find(where: Where) -> Target:
    """Find the cluster to talk to.

    The file that is asked for, else those of $KUBECONFIG, else ~/.kube/config, else the pod's own
    account. ClusterError where there is none, with the places and the contexts that are known.
    """
    paths = _paths(where)
    readings = ((path, contexts.read(path)) for path in paths)
    documents = [(path, content) for path, content in readings if content is not None]
    if where.kubeconfig and not documents:
        raise ClusterError(f"{where.kubeconfig}: there is no such kubeconfig")
    merged = contexts.merge(documents)
    if not merged.contexts and not where.context:
        return _in_cluster(where) or _nowhere(paths)
    return merged.select(where.context, ", ".join(str(path) for path in paths))


def _paths(where: Where) -> tuple[Path, ...]:
    home = where.environ.get("HOME", "")
    if where.kubeconfig:
        # Shells leave the tilde of `--kubeconfig=~/file` as it is.
        bare = where.kubeconfig.removeprefix("~/")
        return (Path(home) / bare if home and bare != where.kubeconfig else Path(where.kubeconfig),)
    if listed := [part for part in where.environ.get("KUBECONFIG", "").split(":") if part]:
        return tuple(Path(part) for part in listed)
    return (Path(home) / ".kube" / "config",) if home else ()


def _nowhere(paths: tuple[Path, ...]) -> Target:
    looked = ", ".join(str(path) for path in paths) or "nowhere: neither KUBECONFIG nor HOME is set"
    raise ClusterError(
        f"no cluster is configured (looked at {looked}; not in a pod either); "
        "give --kubeconfig FILE or set KUBECONFIG"
    )


def _in_cluster(where: Where) -> Target | None:
    host = where.environ.get("KUBERNETES_SERVICE_HOST")
    port = where.environ.get("KUBERNETES_SERVICE_PORT")
    token = where.service_account / "token"
    if not host or not port or not token.is_file():
        return None
    address = f"[{host}]" if ":" in host else host
    return Target(
        origin="the pod's service account",
        cluster={
            "server": f"https://{address}:{port}",
            "certificate-authority": str(where.service_account / "ca.crt"),
        },
        user={"tokenFile": str(token)},
    )
