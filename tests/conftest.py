"""One real API server for the whole run, shared by all workers of pytest-xdist."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane import server
from tests.controlplane.access import HANDLE, ControlPlane
from tests.controlplane.errors import ControlPlaneMissing
from tests.s3 import motoserver
from tests.s3.access import S3Server

WITHOUT_SERVER = "no real API server"
"""How the reason of every skip begins that comes from there being none."""


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane; tests take a namespace of their own from it.

    The first worker that asks starts it, and stops it when no other uses it any more. Where none
    can be had, tests are skipped, with CI=true they fail.
    """
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = run / "controlplane"
    folder.mkdir(exist_ok=True)
    try:
        with _shared(folder) as plane:
            yield plane
    except ControlPlaneMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"{WITHOUT_SERVER}: {missing}")


@contextlib.contextmanager
def _shared(folder: Path) -> Iterator[ControlPlane]:
    with contextlib.ExitStack() as stack:
        users = stack.enter_context((folder / "users").open("w"))
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            # Before the look at the handle: a server that is being stopped is waited for.
            fcntl.flock(users, fcntl.LOCK_SH)
            if (folder / HANDLE).exists():
                plane = ControlPlane.attach(folder)
            else:
                plane = stack.enter_context(server.running(folder))
                # Called before the server is stopped: waits until no other worker has its share.
                stack.callback(fcntl.flock, users, fcntl.LOCK_EX)
        yield plane


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    """An S3 server in this worker, which checks no key; tests take a bucket of their own."""
    with motoserver.running() as server:
        yield server


@pytest.fixture
def with_controllers(control_plane: ControlPlane) -> ControlPlane:
    """The control plane, if it collects garbage and ends namespaces."""
    if not control_plane.has_controller_manager:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")
    return control_plane


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it loud where tests were skipped for want of a server."""
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and WITHOUT_SERVER in report.longrepr[2]
    ]
    if skipped:
        terminalreporter.section(f"{len(skipped)} TESTS DID NOT RUN", red=True, bold=True)
        assert isinstance(skipped[0].longrepr, tuple)
        terminalreporter.write_line(skipped[0].longrepr[2])
