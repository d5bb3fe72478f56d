"""A session of a site whose pod runs on this machine, with repositories of a real git server."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconcile.adapters.kube.connect import connect
from reconcile.core.model import SessionId
from reconcile.engine.ports import Cluster
from tests.e2e.embedded_site import EmbeddedSite
from tests.e2e.site import IMAGE, Site
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.session import LocalSession, build_store_secret, refresh, running
from tests.runner.client import RunnerClient
from tests.runner.git_server import TOKEN, GitServer, make_repository
from tests.s3 import buckets
from tests.s3.access import S3Server

NAME, POD = "one", "one-runner"
STORE, GIT, MODEL, AUTHORITIES = "store-keys", "git-keys", "ambient-runner-secrets", "authorities"
CREDENTIAL = {
    "provider": "github",
    "secretName": GIT,
    "keys": {"token": "TOKEN"},
    "host": "127.0.0.1",
}
"""The token of the git server, with which it shows `private/…`."""


@dataclass
class RunningSession:
    """The session `one` of a site; `spec` is what its file says besides the runner's part."""

    site: Site | EmbeddedSite
    local: LocalSession
    git: GitServer
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def on_server(self) -> Site:
        """The site, if it is on the real server."""
        assert isinstance(self.site, Site)
        return self.site

    def declare(self, **spec: Any) -> None:
        """Write the session's file with these fields changed."""
        self.spec |= spec
        runner = {"image": IMAGE, "caConfigMapName": AUTHORITIES, "envFrom": [secret_ref(MODEL)]}
        self.site.session(NAME, **self.spec, runner=runner)

    def start(self, **variables: str) -> LocalPod:
        """Apply, and start the pod; the variables are the double's."""
        self.site.apply()
        return self.local.start(**variables)

    def apply_to(self, pod: LocalPod) -> None:
        """Apply, and let the pod see its inputs."""
        self.site.apply()
        refresh(pod, self.local.cluster)

    def replace(self, **variables: str) -> LocalPod:
        """Delete the pod's object, apply, and start the next pod."""
        self.site.remove("Pod", POD)
        return self.start(**variables)

    def repository(self, name: str, /, kind: str = "public", **fields: str) -> dict[str, str]:
        """Make a repository with one commit, and return its declaration."""
        if not (self.git.folder / f"{name}.git").exists():
            make_repository(self.git.folder / f"{name}.git")
        return {"url": self.git.url(f"{kind}/{name}.git"), **fields}

    @contextlib.contextmanager
    def client(self, pod: LocalPod) -> Iterator[RunnerClient]:
        """A client of a pod's runner, with its token."""
        [port] = [each["containerPort"] for each in pod.find("runner")["ports"]]
        client = RunnerClient(f"http://127.0.0.1:{port}", pod.uid, NAME)
        try:
            yield client
        finally:
            client.close()


def secret_ref(name: str) -> dict[str, Any]:
    """A Secret as a source of variables."""
    return {"secretRef": {"name": name}}


@contextlib.contextmanager
def opened(
    site: Site | EmbeddedSite, store: S3Server, git: GitServer, folder: Path, **defaults: Any
) -> Iterator[RunningSession]:
    """Set up a site so that its session has all that its pod refers to."""
    site.defaults(
        **{"storage": {"sharedSecretName": STORE}, "mirror": {"intervalSeconds": 1}, **defaults}
    )
    authorities = {"ca-bundle.crt": git.ca_file.read_text()}
    site.create("ConfigMap", {"metadata": {"name": AUTHORITIES}, "data": authorities})
    secrets = {
        STORE: build_store_secret(store, buckets.fresh(store)),
        GIT: {"TOKEN": TOKEN},
        MODEL: {"ANTHROPIC_API_KEY": "sk-ant-canary-of-the-model-0123456789"},
    }
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(connected(site))
        local = LocalSession(cluster, SessionId(site.namespace, NAME), folder / "pods", secrets)
        stack.enter_context(running(local))
        session = RunningSession(site, local, git)
        session.declare(storage={"mode": "shared"}, credentials=[CREDENTIAL])
        yield session


@contextlib.contextmanager
def connected(site: Site | EmbeddedSite) -> Iterator[Cluster]:
    """The cluster of a site, as its program sees it."""
    if isinstance(site, EmbeddedSite):
        yield site.cluster
    else:
        with contextlib.closing(connect(str(site.kubeconfig), None)) as cluster:
            yield cluster


def wait_for_marks(pod: LocalPod, *states: str) -> None:
    """Wait until the prompts of a pod have these runs."""
    wait_until(lambda: [each["run"] for each in pod.files.marks] == list(states), f"runs: {states}")


def wait_for_call(pod: LocalPod) -> None:
    """Wait until the runner has asked for its prompt: then it and its bridge are there."""
    asked = "the prompt call was answered 200"
    wait_until(lambda: asked in pod.containers["runner"].output, "the runner's call")


def wait_for_snapshot(pod: LocalPod) -> None:
    """Wait until a pass that began after this call has ended."""

    def count() -> int:
        return pod.containers["sync"].output.count('"committed"')

    before = count()
    (pod.workspace / "artifacts" / f"{time.monotonic_ns()}").touch()
    wait_until(lambda: count() > before, "a snapshot")
