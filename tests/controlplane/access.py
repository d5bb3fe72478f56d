"""A handle on a running control plane, for tests and benchmarks."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.controlplane import credentials, processes, waiting
from tests.controlplane.audit import AuditLog
from tests.controlplane.errors import ControlPlaneError

HANDLE = "controlplane.json"
REQUEST_TIMEOUT_S = 60.0
TOKEN_LIFETIME_S = 24 * 3600
THREADS = 32
RETRIES = Retry(
    total=6,
    backoff_factor=0.2,
    status_forcelist={429, 500, 502, 503, 504},
    allowed_methods=None,
    raise_on_status=False,
)
"""Of any request to the server itself, for about 12 s: a busy machine is not a failure."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running API server, its files and its users.

    Attributes:
        state: Folder of its data, logs, certificates and kubeconfigs.
        assets: Folder of the binaries, `kubectl` among them.
        url: The address of the API server.
        version: Its major and minor version.
        has_controller_manager: Without one there is no garbage collection by owner references, no
            deletion of namespaces and no default service account.
        tokens: Token by user, see `credentials.USERS`.
    """

    state: Path
    assets: Path
    url: str
    version: tuple[int, int]
    has_controller_manager: bool
    tokens: Mapping[str, str] = field(repr=False)
    session: requests.Session = field(
        default_factory=requests.Session, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        self.session.trust_env = False
        self.session.verify = str(self.ca_file)
        self.session.mount("https://", HTTPAdapter(pool_maxsize=THREADS))
        # Only for this server: a proxy that injects faults has another address.
        adapter = HTTPAdapter(pool_maxsize=THREADS, max_retries=RETRIES)
        self.session.mount(f"{self.url}/", adapter)

    @classmethod
    def attach(cls, state: Path) -> Self:
        """Return a handle on the control plane that another process runs in `state`.

        Raises:
            FileNotFoundError: No control plane is ready there.
        """
        content = json.loads((state / HANDLE).read_text())
        return cls(
            state=state,
            assets=Path(content["assets"]),
            url=content["url"],
            version=(content["version"][0], content["version"][1]),
            has_controller_manager=content["has_controller_manager"],
            tokens=content["tokens"],
        )

    def save(self) -> None:
        """Write the file that `attach` reads, atomically."""
        content = {
            "assets": str(self.assets),
            "url": self.url,
            "version": self.version,
            "has_controller_manager": self.has_controller_manager,
            "tokens": dict(self.tokens),
        }
        credentials.write_private(self.state / HANDLE, json.dumps(content, indent=2).encode())

    @property
    def ca_file(self) -> Path:
        """The CA that signed the server's certificate, as PEM."""
        return self.state / "ca.pem"

    def audit(self) -> AuditLog:
        """Return the log of every request that this server received."""
        return AuditLog(self.state / "audit.log")

    def kubeconfig(self, user: str) -> Path:
        """Write a kubeconfig with the token of one of `credentials.USERS`."""
        path = self.state / f"kubeconfig-{user}"
        return credentials.write_kubeconfig(
            path, url=self.url, ca_file=self.ca_file, token=self.tokens[user]
        )

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with a fresh token of a service account, valid for a day.

        Raises:
            ControlPlaneError: There is no such account.
        """
        answer = self.create(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": TOKEN_LIFETIME_S},
            },
        )
        path = self.state / f"kubeconfig-{namespace}-{name}"
        token = answer["status"]["token"]
        return credentials.write_kubeconfig(path, url=self.url, ca_file=self.ca_file, token=token)

    def kubectl(self, *arguments: str, stdin: str | None = None, user: str = "admin") -> str:
        """Run kubectl as a user and return its standard output.

        Raises:
            ControlPlaneError: kubectl failed; with its standard error.
        """
        env = {"KUBECONFIG": str(self.kubeconfig(user)), "HOME": str(self.state)}
        return processes.output([str(self.assets / "kubectl"), *arguments], stdin=stdin, env=env)

    def request(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        user: str = "admin",
        content_type: str = "application/json",
        params: Mapping[str, Any] | None = None,
    ) -> requests.Response:
        """Send a request and return the response, whatever its status.

        It is repeated while the server is overloaded or cannot be reached, see `RETRIES`.

        Args:
            method: HTTP method.
            path: The path, which begins with `/api` or `/apis`.
            body: Sent as JSON unless None.
            user: One of `credentials.USERS`.
            content_type: Of the body; `application/apply-patch+yaml` for server-side apply.
            params: Query parameters.
        """
        headers = {"Authorization": f"Bearer {self.tokens[user]}", "Content-Type": content_type}
        return self.session.request(
            method,
            self.url + path,
            data=None if body is None else json.dumps(body),
            headers=headers,
            params=params,
            timeout=REQUEST_TIMEOUT_S,
        )

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object as admin and return it; `path` is that of its collection.

        Raises:
            ControlPlaneError: The server refused; with its message.
        """
        answer = self.request("POST", path, body)
        if answer.status_code == 409 and answer.raw.retries.history:
            # The response of an earlier attempt was lost.
            answer = self.request("GET", f"{path}/{body['metadata']['name']}")
        if not answer.ok:
            raise ControlPlaneError(f"POST {path}: {answer.status_code} {answer.text}")
        content: dict[str, Any] = answer.json()
        return content

    def fresh_namespace(self, prefix: str) -> str:
        """Create a namespace with a new name and return when the controllers have populated it.

        Not by `generateName`: Kubernetes 1.20 answers 500 when the five characters that it chose
        are in use, which with 400 namespaces happens once in two hundred runs.
        """
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.create("/api/v1/namespaces", namespace)
        if self.has_controller_manager:
            waiting.until(f"the default objects of {name}", lambda: self.is_populated(name))
        return name

    def is_populated(self, namespace: str) -> bool:
        """Return whether the controllers have created the default objects of a namespace.

        These are the CA certificate and the default service account. Servers before 1.24 refuse
        pods (500) until the account's token is stored in a Secret.
        """
        inside = f"/api/v1/namespaces/{namespace}"
        account = self.request("GET", f"{inside}/serviceaccounts/default")
        certificate = self.request("GET", f"{inside}/configmaps/kube-root-ca.crt")
        complete = self.version >= (1, 24) or "secrets" in account.json()
        return account.ok and certificate.ok and complete
