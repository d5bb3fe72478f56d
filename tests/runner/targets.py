"""The runner under test: the double or the real one, started in the same way.

    with target.running(environment, log=folder / "runner.log") as runner:
        httpx.post(f"{runner.url}/", ...)

Tests give the variables of a runner's container, as a rendered pod has them. Everything else, such
as the program, its working directory and what it needs of this machine, is the target's.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from tests.controlplane import processes, waiting
from tests.controlplane.ports import free

ROOT = Path(__file__).parents[2]
READY_S = 60.0
OF_THIS_MACHINE = ("PATH", "LANG", "LC_ALL", "TMPDIR")


@dataclass(frozen=True, slots=True)
class RunningRunner:
    """A runner that answers `/health`."""

    url: str
    log: Path
    component: processes.Component

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.component.process.poll() is None

    def send_term(self) -> None:
        """Send SIGTERM to the process, as the kubelet does."""
        self.component.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and its children, as the end of a container does."""
        processes.stop(self.component, 0)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end, and return the exit code as a shell has it: 143 after SIGTERM.

        Raises:
            TimeoutExpired: It has not ended in that time.
        """
        code = self.component.process.wait(timeout=timeout_s)
        return 128 - code if code < 0 else code

    def has_ended_after(self, seconds: float) -> bool:
        """Wait at most that long for the end, and say whether it came."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(seconds)
        return not self.is_running


class Target(Protocol):
    """A runner that can be started any number of times."""

    @property
    def is_real(self) -> bool:
        """Whether it is the real one, whose waits cannot be shortened."""
        ...

    @property
    def variables(self) -> Mapping[str, str]:
        """What its program needs on this machine, and an image would have."""
        ...

    @property
    def folders(self) -> Sequence[Path]:
        """Where its code is, besides this repository and its Python."""
        ...

    def build_command(self, port: int) -> list[str]:
        """Return the command of its image, for a port of 127.0.0.1."""
        ...

    def running(
        self, environment: Mapping[str, str], *, log: Path, port: int = 0
    ) -> contextlib.AbstractContextManager[RunningRunner]:
        """Start it with these variables alone, and kill it at the end of the block.

        Args:
            environment: The variables of the container.
            log: The file of its output.
            port: The port on 127.0.0.1; any free one if it is 0.

        Raises:
            ControlPlaneError: It ended, or does not answer; with the end of its log.
        """
        ...


@dataclass(frozen=True, slots=True)
class DoubleTarget:
    """The double, in this Python."""

    is_real: bool = False
    variables: Mapping[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(ROOT)})
    folders: tuple[Path, ...] = ()

    def build_command(self, port: int) -> list[str]:
        return [sys.executable, "-m", "tests.runner.double", "--port", str(port)]

    def running(
        self, environment: Mapping[str, str], *, log: Path, port: int = 0
    ) -> contextlib.AbstractContextManager[RunningRunner]:
        return _running(self, environment, log, port)


@dataclass(frozen=True, slots=True)
class RealTarget:
    """The code of a checkout, in a Python that has its requirements."""

    source: Path
    python: Path
    is_real: bool = True
    variables: Mapping[str, str] = field(
        default_factory=lambda: {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": "",
        }
    )

    @property
    def folders(self) -> tuple[Path, ...]:
        environment = self.python.parent.parent
        base = self.python.resolve().parent.parent
        return self.source, environment, base

    def build_command(self, port: int) -> list[str]:
        # The shell changes into the folder, since the image does too, and the code there is run.
        server = f"{self.python} -m uvicorn main:app --host 127.0.0.1 --port {port}"
        return ["/bin/sh", "-c", f"umask 0022 && cd {self.source} && exec {server}"]

    def running(
        self, environment: Mapping[str, str], *, log: Path, port: int = 0
    ) -> contextlib.AbstractContextManager[RunningRunner]:
        return _running(self, environment, log, port)


def find_target() -> Target:
    """Return the target that `python -m tests.runner` chose, else the double."""
    source = os.environ.get("RUNNER_SOURCE")
    if not source:
        return DoubleTarget()
    return RealTarget(Path(source), Path(os.environ["RUNNER_PYTHON"]))


@contextlib.contextmanager
def _running(
    target: Target, environment: Mapping[str, str], log: Path, port: int
) -> Iterator[RunningRunner]:
    port = port or free(1)[0]
    machine = {name: os.environ[name] for name in OF_THIS_MACHINE if name in os.environ}
    variables = {**machine, **environment, **target.variables}
    command = target.build_command(port)
    component = processes.spawn("the runner", command, log=log, env=variables)
    runner = RunningRunner(f"http://127.0.0.1:{port}", log, component)
    try:
        waiting.until("the runner's /health", lambda: _is_healthy(runner), timeout_s=READY_S)
        yield runner
    finally:
        runner.kill()


def _is_healthy(runner: RunningRunner) -> bool:
    runner.component.check()
    try:
        return httpx.get(f"{runner.url}/health", trust_env=False).is_success
    except httpx.HTTPError:
        return False
