"""Credentials: certificates of a private CA, users with fixed tokens, kubeconfigs.

All are generated for each server and stored in its state folder; only the owner can read secrets.
"""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme

SERVER_NAMES = (
    "127.0.0.1",
    "localhost",
    "10.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user and groups of a token."""

    name: str
    groups: tuple[str, ...] = ()


USERS: Mapping[str, Identity] = {
    "admin": Identity("admin", ("system:masters",)),
    "alice": Identity("alice", ("people",)),
    "bob": Identity("bob", ("people",)),
    "stranger": Identity("stranger"),
    "controller-manager": Identity("system:kube-controller-manager"),
}
"""The users by the name that `ControlPlane` methods take.

Only the first and the last have rights at first. `alice` and `bob` are for bindings that a test
makes; `stranger` never gets any."""


def write_private(path: Path, content: bytes) -> Path:
    """Write a file atomically, readable only by its owner."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(draft).replace(path)


def make_authority(state: Path) -> None:
    """Make `ca.pem`, the server's certificate and the key that signs service account tokens."""
    authority = trustme.CA(organization_name="tests.controlplane")
    authority.cert_pem.write_to_path(state / "ca.pem")
    write_private(state / "ca-key.pem", authority.private_key_pem.bytes())
    server = issue(state, *SERVER_NAMES)
    write_private(state / "server-key.pem", server.private_key_pem.bytes())
    write_private(state / "server.pem", b"".join(pem.bytes() for pem in server.cert_chain_pems))
    accounts = authority.issue_cert("service-accounts.invalid")
    write_private(state / "service-accounts-key.pem", accounts.private_key_pem.bytes())


def issue(state: Path, *names: str) -> trustme.LeafCert:
    """Issue a certificate signed by the CA of a state folder."""
    authority = trustme.CA.from_pem(
        (state / "ca.pem").read_bytes(), (state / "ca-key.pem").read_bytes()
    )
    return authority.issue_cert(*names, common_name=names[0])


def make_tokens(state: Path) -> Mapping[str, str]:
    """Give every user a token and write the server's `tokens.csv`."""
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    rows = [
        f'{tokens[user]},{identity.name},{user},"{",".join(identity.groups)}"\n'
        for user, identity in USERS.items()
    ]
    write_private(state / "tokens.csv", "".join(rows).encode())
    return tokens


def write_kubeconfig(path: Path, *, url: str, ca_file: Path, token: str) -> Path:
    """Write a kubeconfig with one context, as JSON, which is valid YAML."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}
        ],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    return write_private(path, json.dumps(content, indent=2).encode())


def redirect_kubeconfig(source: Path, target: Path, url: str) -> Path:
    """Copy a kubeconfig of `write_kubeconfig` with another address and the same CA."""
    content = json.loads(source.read_text())
    content["clusters"][0]["cluster"]["server"] = url
    return write_private(target, json.dumps(content, indent=2).encode())
