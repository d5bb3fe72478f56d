"""The only module that starts processes: run a command, or run a component until it is stopped."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.errors import ControlPlaneError

TAIL_LINES = 30
SHOWN_CHARACTERS = 1000


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, indented for an error message."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (empty)"


def run(command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str]) -> None:
    """Run a command to its end with all its output in `log`.

    Raises:
        ControlPlaneError: It failed or is not installed; with the command and the end of the log.
    """
    with log.open("ab") as sink:
        try:
            code = subprocess.call(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        except FileNotFoundError as missing:
            raise ControlPlaneError(f"{command[0]} is not installed") from missing
    if code != 0:
        shown = shlex.join(command)[:SHOWN_CHARACTERS]
        raise ControlPlaneError(f"exit {code} from: {shown}\n{tail(log)}")


def output(command: Sequence[str], *, stdin: str | None = None, env: Mapping[str, str]) -> str:
    """Run a command and return what it printed.

    Raises:
        ControlPlaneError: It failed; with the command and its standard error.
    """
    done = subprocess.run(
        command, input=stdin or "", env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ControlPlaneError(
            f"exit {done.returncode} from: {shlex.join(command)}\n{done.stderr}"
        )
    return done.stdout


@dataclass(frozen=True, slots=True)
class Component:
    """A running process with its own process group, which does not get a terminal's Ctrl-C."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise ControlPlaneError with the end of the log if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise ControlPlaneError(f"{self.name} ended with {code}:\n{tail(self.log)}")


def spawn(name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str]) -> Component:
    """Start a component that is killed when the thread that started it ends in any way."""
    death_signal = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [*death_signal, *command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=env,
            start_new_session=True,
        )
    return Component(name, log, process)


def stop(component: Component, grace_s: float) -> None:
    """Stop a component's process group by SIGTERM, and after `grace_s` seconds by SIGKILL."""
    deadline = time.monotonic() + grace_s
    _signal(component, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        component.process.wait(timeout=max(0.0, deadline - time.monotonic()))
    _signal(component, signal.SIGKILL)
    component.process.wait()


def _signal(component: Component, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(component.process.pid, number)
