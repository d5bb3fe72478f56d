"""One installation on a real server: a namespace, a desired tree, and the rights from `deploy/`."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from reconcile.adapters.kube.discovery import WELL_KNOWN
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.model import LABEL_INSTALLATION, Kind
from tests.controlplane import waiting
from tests.controlplane.access import ControlPlane
from tests.controlplane.audit import AuditEvent, Mark
from tests.deploy.manifests import objects, placed
from tests.e2e import rights

API = "vteam.ambient-code/v1alpha1"
IMAGE = "registry.example/runner:1"
OWN_IMAGE = "registry.example/reconcile:1"
"""The image of `reconcile-mirror` and `reconcile-runner`."""

ACCOUNT = "reconcile"
READER = "reconcile-reader"
SHIPPED = {
    "ConfigMap": Kind("v1", "ConfigMap"),
    "NetworkPolicy": Kind("networking.k8s.io/v1", "NetworkPolicy"),
    "Pod": Kind("v1", "Pod"),
    "Service": Kind("v1", "Service"),
    "ServiceAccount": Kind("v1", "ServiceAccount"),
}
KINDS = SHIPPED | {
    "Deployment": Kind("apps/v1", "Deployment"),
    "PersistentVolumeClaim": Kind("v1", "PersistentVolumeClaim"),
}
"""The kinds that tests look at, by name."""

WRITES = {"create", "patch", "update", "delete", "deletecollection"}

Object: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunResult:
    """The exit code and output of one run of the program."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}{self.err}"


@dataclass(frozen=True, slots=True)
class Tree:
    """The desired tree of an installation with one namespace."""

    namespace: str
    tree: Path

    def write(self, path: str, *documents: Object) -> None:
        """Write a file of the tree."""
        write(self.tree / path, *documents)

    def session(
        self, name: str, metadata: Object | None = None, *, folder: str = "", **spec: Any
    ) -> None:
        """Write the file of one session."""
        document = session_document(name, metadata, **spec)
        self.write(f"{folder or self.namespace}/{name}.yaml", document)

    def policy(self, **spec: Any) -> None:
        """Write policy.yaml."""
        self.write("policy.yaml", {"apiVersion": API, "kind": "Policy", "spec": spec})

    def defaults(self, metadata: Object | None = None, **spec: Any) -> None:
        """Write defaults.yaml; without an image of our own, each session would be an error."""
        document = {"apiVersion": API, "kind": "SessionDefaults", "metadata": metadata or {}}
        self.write("defaults.yaml", {**document, "spec": {"image": OWN_IMAGE, **spec}})

    def forget(self, *names: str) -> None:
        """Remove the files of sessions."""
        for name in names:
            (self.tree / self.namespace / f"{name}.yaml").unlink()


@dataclass(frozen=True, slots=True)
class Site(Tree):
    """A namespace with its desired tree; the admin sets up, acts as another client, and checks."""

    plane: ControlPlane
    kubeconfig: Path

    @property
    def user(self) -> str:
        """The user name of the program on the server."""
        return f"system:serviceaccount:{self.namespace}:{ACCOUNT}"

    def template(self, name: str, text: str) -> None:
        """Write a custom template."""
        self.templates.mkdir(exist_ok=True)
        (self.templates / f"{name}.yaml.j2").write_text(text)

    @property
    def templates(self) -> Path:
        """The folder for `--templates`."""
        return self.tree.with_name("templates")

    # The program

    def run(self, command: str, *arguments: str, kubeconfig: Path | None = None) -> RunResult:
        """Run the program in this process."""
        if self.templates.is_dir():
            arguments = ("--templates", str(self.templates), *arguments)
        chosen = str(kubeconfig or self.kubeconfig)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run_reconcile_cli([command, str(self.tree), "--kubeconfig", chosen, *arguments])
        return RunResult(code, out.getvalue(), err.getvalue())

    def apply(self, *arguments: str, expect: int = 0) -> RunResult:
        """Run `apply` and look at its exit code."""
        result = self.run("apply", *arguments)
        assert result.code == expect, str(result)
        return result

    def diff(self, *arguments: str, expect: int = 0) -> RunResult:
        """Run `diff` and look at its exit code."""
        result = self.run("diff", *arguments)
        assert result.code == expect, str(result)
        return result

    def plan(self, *arguments: str, expect: int = 1) -> list[Object]:
        """Run `diff -o json` and return the changes."""
        document = json.loads(self.diff("-o", "json", *arguments, expect=expect).out)
        return [change for session in document["sessions"] for change in session["changes"]]

    def is_settled(self) -> None:
        """Assert that a diff is empty and that a second apply sends no write at all."""
        self.diff(expect=0)
        mark = self.plane.audit().mark()
        self.apply()
        assert self.writes(mark) == []

    # Requests and objects of the server

    def writes(self, mark: Mark) -> list[AuditEvent]:
        """Return the program's write requests since `mark`, including refused ones."""
        events = self.plane.audit().since(mark, user=self.user)
        return [event for event in events if event.verb in WRITES]

    def path(self, kind: str, name: str = "", namespace: str = "") -> str:
        """The path of an object or of a collection."""
        found = KINDS[kind]
        root = f"/apis/{found.api_version}" if found.group else f"/api/{found.api_version}"
        collection = f"{root}/namespaces/{namespace or self.namespace}/{WELL_KNOWN[found].plural}"
        return f"{collection}/{name}" if name else collection

    def get(self, kind: str, name: str) -> Object:
        """Read an existing object."""
        answer = self.plane.request("GET", self.path(kind, name))
        assert answer.status_code == 200, answer.text
        found: Object = answer.json()
        return found

    def everything(self, namespace: str = "", labels: str = "") -> dict[str, Object]:
        """Read all objects by `Kind/name`, except the default objects of every namespace."""
        return {
            f"{kind}/{item['metadata']['name']}": {"kind": kind, **item}
            for kind in KINDS
            for item in self._items(kind, namespace, labels)
            if item["metadata"]["name"] not in {"kube-root-ca.crt", "default", ACCOUNT, READER}
        }

    def ours(self, installation: str = "default", namespace: str = "") -> dict[str, Object]:
        """Read all objects of an installation, by `Kind/name`."""
        return self.everything(namespace, f"{LABEL_INSTALLATION}={installation}")

    def _items(self, kind: str, namespace: str, labels: str) -> list[Object]:
        params = {"labelSelector": labels}
        answer = self.plane.request("GET", self.path(kind, namespace=namespace), params=params)
        assert answer.status_code == 200, answer.text
        items: list[Object] = answer.json()["items"]
        return items

    # Another client

    def create(self, kind: str, body: Object) -> Object:
        """Create an object as another client."""
        found = {"apiVersion": KINDS[kind].api_version, "kind": kind, **body}
        return self._send("POST", self.path(kind), found, "application/json")

    def edit(self, kind: str, name: str, *operations: Object) -> Object:
        """Change an object by JSON Patch as another client."""
        path = self.path(kind, name)
        return self._send("PATCH", path, list(operations), "application/json-patch+json")

    def merge(self, kind: str, name: str, body: Object) -> Object:
        """Change an object by a merge patch as another client."""
        return self._send("PATCH", self.path(kind, name), body, "application/merge-patch+json")

    def remove(self, kind: str, name: str) -> None:
        """Delete an object as another client."""
        answer = self.plane.request("DELETE", self.path(kind, name))
        assert answer.status_code < 300, answer.text

    def start_pod(self, name: str, phase: str = "Running") -> None:
        """Set a pod's status as a kubelet does; the server has no nodes."""
        states = {
            "Running": {"running": {"startedAt": "2026-01-31T12:00:00Z"}},
            "Succeeded": {"terminated": {"exitCode": 0, "startedAt": "2026-01-31T12:00:00Z"}},
        }
        status = {"name": "runner", "image": IMAGE, "imageID": "", "ready": True}
        status |= {"restartCount": 0, "state": states[phase]}
        self.report_pod(name, {"phase": phase, "containerStatuses": [status]})

    def report_pod(self, name: str, status: Object) -> None:
        """Set a pod's status to what a kubelet or a controller reports."""
        path = f"{self.path('Pod', name)}/status"
        self._send("PATCH", path, {"status": status}, "application/merge-patch+json")

    def _send(self, method: str, path: str, body: object, content_type: str) -> Object:
        answer = self.plane.request(
            method, path, body, content_type=content_type, params={"fieldManager": "stranger"}
        )
        assert answer.status_code < 300, answer.text
        content: Object = answer.json()
        return content

    @contextlib.contextmanager
    def when_deleted(self, kind: str, name: str, act: Callable[[], None]) -> Iterator[None]:
        """Call `act`, concurrently with the block, as soon as an object is being deleted."""

        def watch() -> None:
            waiting.until(
                f"the deletion of {kind} {name}",
                lambda: "deletionTimestamp" in self.get(kind, name)["metadata"],
            )
            act()

        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch)
            yield
            watching.result()

    # Rights

    def second_namespace(self) -> str:
        """Make another namespace in which the same account has the same rights."""
        name = self.plane.fresh_namespace("e2e")
        rights.install(self.plane, placed(objects("namespace"), name, home=self.namespace))
        rights.wait(self.plane, self.user, name)
        return name

    def grant(self, kind: str) -> None:
        """Grant the account the verbs of `deploy/` for one more kind."""
        found = KINDS[kind]
        resource = WELL_KNOWN[found].plural
        role = f"{ACCOUNT}-{resource}"
        rule = {
            "apiGroups": [found.group],
            "resources": [resource],
            "verbs": ["get", "list", "create", "patch", "delete"],
        }
        [binding] = [body for body in objects("namespace") if body["kind"] == "RoleBinding"]
        binding = {**binding, "metadata": {"name": role}}
        binding["roleRef"] = {**binding["roleRef"], "name": role}
        roles = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "rules": [rule]}
        bodies = [{**roles, "metadata": {"name": role}}, binding]
        rights.install(self.plane, placed(bodies, self.namespace, home=self.namespace))
        rights.wait(self.plane, self.user, self.namespace, f"{found.group}/{resource}")


def write(file: Path, *documents: Object) -> None:
    """Write a file of documents as JSON, which is valid YAML."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n---\n".join(json.dumps(each, indent=1) for each in documents))


def session_document(name: str, metadata: Object | None = None, **spec: Any) -> Object:
    """The document of a session file."""
    spec.setdefault("runner", {"image": IMAGE})
    return {
        "apiVersion": API,
        "kind": "AgenticSession",
        "metadata": {"name": name, **(metadata or {})},
        "spec": spec,
    }


def make(plane: ControlPlane, folder: Path) -> Site:
    """Make a namespace and bind the Role of `deploy/` to a service account in it."""
    namespace = plane.fresh_namespace("e2e")
    accounts = [body for body in objects("base") if body["kind"] == "ServiceAccount"]
    rights.install(plane, placed(accounts, namespace))
    for role in ("namespace", "reader"):
        rights.install(plane, placed(objects(role), namespace, home=namespace))
    kubeconfig = plane.service_account_kubeconfig(namespace, ACCOUNT)
    tree = folder / "desired"
    tree.mkdir(exist_ok=True)
    site = Site(namespace, tree, plane, kubeconfig)
    site.defaults()
    for account in (ACCOUNT, READER):
        rights.wait(plane, f"system:serviceaccount:{namespace}:{account}", namespace)
    return site


def discard(folder: Path) -> None:
    """Remove a folder of the tree."""
    shutil.rmtree(folder)
