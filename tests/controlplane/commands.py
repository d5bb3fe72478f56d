"""The command lines of the three components."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONTROLLERS = (
    "garbagecollector",
    "namespace",
    "serviceaccount",
    "serviceaccount-token",
    "root-ca-cert-publisher",
)
# Never used, since no endpoint is published. Servers from 1.21 on refuse loopback, and their own
# search for an address fails on a machine without a default route.
ADVERTISED = "192.0.2.1"
# Large enough for one service per session of the largest benchmark.
SERVICE_RANGE = "10.0.0.0/16"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of the components on 127.0.0.1."""

    etcd: int
    etcd_peer: int
    apiserver: int


def etcd(assets: Path, state: Path, ports: Ports) -> Sequence[str]:
    """Return the command of an etcd that is fast and not durable."""
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return [
        str(assets / "etcd"),
        "--name=test",
        f"--data-dir={state / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=test={peer}",
        "--quota-backend-bytes=8589934592",
        "--unsafe-no-fsync",
    ]


def apiserver(
    assets: Path, state: Path, ports: Ports, *, controller_manager: bool
) -> Sequence[str]:
    """Return the command of an API server with RBAC, server-side apply and a complete audit log."""
    accounts_key = state / "service-accounts-key.pem"
    return [
        str(assets / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={ports.apiserver}",
        f"--advertise-address={ADVERTISED}",
        "--endpoint-reconciler-type=none",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--cert-dir={state}",
        f"--tls-cert-file={state / 'server.pem'}",
        f"--tls-private-key-file={state / 'server-key.pem'}",
        f"--client-ca-file={state / 'ca.pem'}",
        f"--token-auth-file={state / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={accounts_key}",
        f"--service-account-signing-key-file={accounts_key}",
        # It needs accounts and tokens, which only a controller manager creates.
        *([] if controller_manager else ["--disable-admission-plugins=ServiceAccount"]),
        f"--audit-policy-file={state / 'audit-policy.json'}",
        f"--audit-log-path={state / 'audit.log'}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=100000",
        "--profiling=false",
    ]


def controller_manager(
    assets: Path, state: Path, kubeconfig: Path, version: tuple[int, int]
) -> Sequence[str]:
    """Return the command of a controller manager with the controllers of tests and no server."""
    return [
        str(assets / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--service-account-private-key-file={state / 'service-accounts-key.pem'}",
        f"--root-ca-file={state / 'ca.pem'}",
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--secure-port=0",
        # The port without TLS, which 1.24 removed.
        *(["--port=0"] if version < (1, 24) else []),
    ]
