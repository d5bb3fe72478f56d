"""The commands of `reconcile-mirror` as processes: their exit codes, output and memory."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "reconcile-mirror"
PREFIX = "team-a/victim"
SECRET_KEY = "canary-secret-key-4711"
TOKEN = "canary-session-token-0815"
READERS = ("hydrate", "restore", "export", "log", "verify", "gc")
"""The commands that read a bucket; each gets a volume or a target of its own."""

WAIT_S = 60
MEASURED = (
    sys.executable,
    "-ISc",
    """import pathlib, resource, signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
code = subprocess.call(sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
pathlib.Path(sys.argv[1]).write_text(str(peak))
sys.exit(code)""",
)
"""Runs a command and writes its peak memory in KiB to a file.

A process begins with the peak of the one that starts it, so that must be a small one.
"""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a process ended: its exit code, its output, and its peak memory in MiB."""

    code: int
    output: bytes
    peak: int


class MirrorCommands:
    """Processes with one Secret; all that they may write to is below `folder / "pods"`."""

    def __init__(self, folder: Path, url: str, bucket: str) -> None:
        self.folder = folder
        self.secret = folder / "secret"
        self.secret.mkdir(parents=True)
        values = {
            "STORAGE_MODE": "custom",
            "S3_ENDPOINT": url,
            "S3_BUCKET": bucket,
            "S3_ACCESS_KEY": "test",
            "S3_SECRET_KEY": SECRET_KEY,
            "S3_SESSION_TOKEN": TOKEN,
        }
        for name, value in values.items():
            (self.secret / name).write_text(value)

    def root(self, pod: str) -> Path:
        """The workspace of a pod."""
        root = self.folder / "pods" / pod / "workspace"
        root.mkdir(parents=True, exist_ok=True)
        return root

    def state(self, pod: str) -> Path:
        """The state directory of a pod's mirror."""
        return self.root(pod).with_name("state")

    def line(self, command: str, pod: str, *more: str) -> list[str]:
        """The command line; `pod` is also the name of the target of `restore` and `export`."""
        volume = (f"--workspace={self.root(pod)}", f"--state={self.state(pod)}")
        target = self.root(pod).with_name("target")
        own: tuple[str, ...] = {
            "hydrate": (*volume, f"--pod-uid=uid-{pod}", f"--pod-name={pod}"),
            "sync": volume,
            "restore": (str(target),),
            "export": (f"--tar={target}",),
            "gc": ("--delete", "--grace=1h"),
        }.get(command, ())
        options = (f"--prefix={PREFIX}", f"--project-secret={self.secret}", "--retry-timeout=0.3")
        return [str(PROGRAM), command, *options, *own, *more]

    def start(self, command: str, pod: str, *more: str) -> subprocess.Popen:
        """Start a command; its output goes to a file, so that it never waits for a reader."""
        self.root(pod)
        with self._file(pod, command, "log").open("wb") as output:
            return subprocess.Popen(
                [*MEASURED, str(self._file(pod, command, "peak")), *self.line(command, pod, *more)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "HOME": str(self.folder)},
                start_new_session=True,
            )

    def ended(self, process: subprocess.Popen, command: str, pod: str) -> CommandResult:
        """Wait for the end of a command; one that does not end is killed."""
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        peak = self._file(pod, command, "peak")
        kib = int(peak.read_text()) if peak.exists() else 0
        return CommandResult(process.returncode, self.log(command, pod), kib >> 10)

    def log(self, command: str, pod: str) -> bytes:
        """Return the output of a command so far."""
        return self._file(pod, command, "log").read_bytes()

    def _file(self, pod: str, command: str, suffix: str) -> Path:
        return self.folder / "pods" / pod / f"{command}.{suffix}"

    def run(self, command: str, pod: str, *more: str) -> CommandResult:
        """Run a command to its end."""
        return self.ended(self.start(command, pod, *more), command, pod)

    def run_all(self, commands: tuple[str, ...] = READERS) -> Iterator[tuple[str, CommandResult]]:
        """Run commands at the same time; yields each with its result."""
        started = {command: self.start(command, command) for command in commands}
        for command, process in started.items():
            yield command, self.ended(process, command, command)
