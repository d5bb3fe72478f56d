"""Starts and stops a control plane: etcd, the API server, the controller manager."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.controlplane import build, commands, credentials, ports, processes, waiting
from tests.controlplane.access import HANDLE, ControlPlane
from tests.controlplane.audit import POLICY
from tests.controlplane.errors import ControlPlaneError

__all__ = ["ControlPlane", "running"]

ATTEMPTS = 3
STOP_GRACE_S = 5.0


@contextlib.contextmanager
def running(state: Path, *, controller_manager: bool = True) -> Iterator[ControlPlane]:
    """Run a new, empty control plane for the duration of the block.

    Args:
        state: Folder for data, certificates and logs; created if absent. The files of an earlier
            run are removed first; the logs of this run stay after the block.
        controller_manager: Whether to run one, if `build.assets()` has it; see
            `has_controller_manager` of the handle.

    Raises:
        ControlPlaneMissing: There are no binaries.
        ControlPlaneError: A component did not start (with the end of its log), or another control
            plane runs in `state`.
    """
    assets = build.assets()
    wanted = controller_manager and (assets / "kube-controller-manager").exists()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_claimed(state.absolute()))
        plane = _start(stack, assets, state.absolute(), controller_manager=wanted)
        stack.callback((plane.state / HANDLE).unlink, missing_ok=True)
        plane.save()
        yield plane


@contextlib.contextmanager
def _claimed(state: Path) -> Iterator[None]:
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise ControlPlaneError(f"another control plane runs in {state}") from held
        yield


def _start(
    stack: contextlib.ExitStack, assets: Path, state: Path, *, controller_manager: bool
) -> ControlPlane:
    for attempt in range(1, ATTEMPTS + 1):
        with contextlib.ExitStack() as attempt_stack:
            launch = _Launch(assets, state, commands.Ports(*ports.free(3)), attempt_stack)
            try:
                plane = launch.start(controller_manager=controller_manager)
            except ControlPlaneError as failure:
                if attempt == ATTEMPTS or "address already in use" not in str(failure):
                    raise
            else:
                stack.push(attempt_stack.pop_all())
                return plane
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class _Launch:
    """One attempt to start everything; closing `stack` stops the started components."""

    assets: Path
    state: Path
    ports: commands.Ports
    stack: contextlib.ExitStack

    def start(self, *, controller_manager: bool) -> ControlPlane:
        tokens = _prepare(self.state)
        etcd = self.spawn("etcd", commands.etcd(self.assets, self.state, self.ports))
        command = commands.apiserver(
            self.assets, self.state, self.ports, controller_manager=controller_manager
        )
        server = self.spawn("kube-apiserver", command)
        plane = ControlPlane(
            state=self.state,
            assets=self.assets,
            url=f"https://127.0.0.1:{self.ports.apiserver}",
            version=self.version_when_ready([etcd, server]),
            has_controller_manager=controller_manager,
            tokens=tokens,
        )
        if controller_manager:
            self.start_controllers(plane)
        return plane

    def version_when_ready(self, components: Sequence[processes.Component]) -> tuple[int, int]:
        """Wait until the server is ready, which needs no credentials, and return its version."""

        def ready() -> bool:
            for component in components:
                component.check()
            with contextlib.suppress(requests.RequestException):
                return self.get("/readyz").status_code == 200
            return False

        waiting.until(f"the API server, see {self.state / 'kube-apiserver.log'}", ready)
        version = self.get("/version").json()
        return int(version["major"]), int(version["minor"].rstrip("+"))

    def start_controllers(self, plane: ControlPlane) -> None:
        """Start the controller manager and wait until it has populated the default namespace."""
        kubeconfig = plane.kubeconfig("controller-manager")
        command = commands.controller_manager(self.assets, self.state, kubeconfig, plane.version)
        manager = self.spawn("kube-controller-manager", command)

        def working() -> bool:
            manager.check()
            return plane.is_populated("default")

        waiting.until(f"the controllers, see {manager.log}", working)

    def get(self, path: str) -> requests.Response:
        url = f"https://127.0.0.1:{self.ports.apiserver}{path}"
        with requests.Session() as session:
            session.trust_env = False
            return session.get(url, verify=str(self.state / "ca.pem"), timeout=10)

    def spawn(self, name: str, command: Sequence[str]) -> processes.Component:
        env = {"PATH": os.defpath, "HOME": str(self.state)}
        component = processes.spawn(name, command, log=self.state / f"{name}.log", env=env)
        self.stack.callback(processes.stop, component, STOP_GRACE_S)
        return component


def _prepare(state: Path) -> Mapping[str, str]:
    """Remove the files of an earlier run, and return the tokens of new credentials."""
    shutil.rmtree(state / "etcd", ignore_errors=True)
    for leftover in [*state.glob(HANDLE), *state.glob("*.log"), *state.glob("kubeconfig-*")]:
        leftover.unlink()
    (state / "audit-policy.json").write_text(json.dumps(POLICY))
    credentials.make_authority(state)
    return credentials.make_tokens(state)
