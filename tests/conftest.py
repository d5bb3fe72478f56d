"""One real server of each kind for the complete run, shared by all workers of pytest-xdist."""

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from tests.controlplane import server
from tests.controlplane.access import HANDLE, ControlPlane
from tests.controlplane.errors import ControlPlaneMissing
from tests.s3 import ceph, motoserver
from tests.s3.access import S3Server

# A shell that starts a run in the background makes it and its children ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is not a failure.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

_Server = TypeVar("_Server")
WITHOUT_SERVER = "no real server"
"""The beginning of the reason of every skip for lack of a server."""


@pytest.fixture(scope="session", autouse=True)
def _without_fsync() -> Iterator[None]:
    """Do not wait for the disk in this process: no test loses power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _fd: None)
        yield


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane; each test creates its own namespace.

    The first worker that needs it starts it, and stops it when no other worker uses it. If it
    cannot be started, tests are skipped; with CI=true they fail.
    """
    folder = _folder(tmp_path_factory, "controlplane")
    with skip_if_missing():
        ready, attach = folder / HANDLE, lambda: ControlPlane.attach(folder)
        with _shared(folder, ready, attach, lambda: server.running(folder)) as plane:
            yield plane


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running Ceph, which checks keys; each test creates its own bucket.

    It is started, stopped and skipped like `control_plane`.
    """
    folder = _folder(tmp_path_factory, "s3")
    with skip_if_missing():
        ready = folder / "s3.json"
        start = lambda: ceph.running(folder / "ceph", ready)  # noqa: E731
        with _shared(folder, ready, lambda: S3Server.attach(ready), start) as server:
            yield server


def _folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder that all workers of this run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    return folder


@contextlib.contextmanager
def skip_if_missing() -> Iterator[None]:
    """Skip a test that needs a server which cannot be had; with CI=true, fail."""
    try:
        yield
    except ControlPlaneMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{WITHOUT_SERVER}: {missing}")


@contextlib.contextmanager
def _shared(
    folder: Path,
    ready: Path,
    attach: Callable[[], _Server],
    start: Callable[[], AbstractContextManager[_Server]],
) -> Iterator[_Server]:
    with contextlib.ExitStack() as stack:
        users = stack.enter_context((folder / "users").open("w"))
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            # Before the handle is checked, so that a server that is being stopped is waited for.
            fcntl.flock(users, fcntl.LOCK_SH)
            if ready.exists():
                server = attach()
            else:
                server = stack.enter_context(start())
                # Called before the server is stopped: waits for the locks of other workers.
                stack.callback(fcntl.flock, users, fcntl.LOCK_EX)
        yield server


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """An S3 server in this worker; it checks no keys, and each test creates its own bucket."""
    with motoserver.running() as server:
        yield server


@pytest.fixture
def with_controllers(control_plane: ControlPlane) -> ControlPlane:
    """The control plane, if it has a controller manager."""
    if not control_plane.has_controller_manager:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")
    return control_plane


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report prominently which tests were skipped for lack of a server."""
    skipped = [
        report.longrepr[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and WITHOUT_SERVER in report.longrepr[2]
    ]
    if skipped:
        terminalreporter.section(f"{len(skipped)} TESTS DID NOT RUN", red=True, bold=True)
        for reason in sorted(set(skipped)):
            terminalreporter.write_line(reason)
