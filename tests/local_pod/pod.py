"""One pod on this machine: volumes in a folder, containers as processes."""

import contextlib
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tests.local_pod.launch import launch
from tests.local_pod.resolve import PodContext, build_variables, list_files, write_files
from tests.runner.session_files import SessionFiles

_Value = TypeVar("_Value")
ROOT = Path(__file__).parents[2]
_ETC = (
    "alternatives",
    "group",
    "hosts",
    "ld.so.cache",
    "localtime",
    "nsswitch.conf",
    "passwd",
    "ssl",
)
_SYSTEM = (
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/sbin",
    "/usr",
    *(f"/etc/{each}" for each in _ETC),
)
_LONGEST_STOP = 90.0
_LOCK = Path(tempfile.gettempdir()) / "reconcile-local-pod.lock"


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Wait until no other pod uses the ports of this machine."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class Execution:
    """A command that was run in a container."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended; seconds since the pod began to end."""

    code: int
    hook_seconds: float
    seconds: float


@dataclass
class Container:
    """A started container: its process, its log, and its termination message."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    message: Path

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process.poll() is None

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end and return the exit code; a killed process has 128 + signal."""
        code = self.process.wait(timeout)
        return 128 - code if code < 0 else code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, if it still runs; SIGKILL is for its children too, as in a container."""
        if number == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
        elif self.is_running:
            self.process.send_signal(number)

    @property
    def output(self) -> str:
        """The log so far."""
        return self.log.read_text(errors="replace")

    @property
    def termination_message(self) -> str:
        """What it has written for its end."""
        return self.message.read_text(errors="replace")


@dataclass
class LocalPod:
    """A rendered pod below `folder`.

    `commands` are those of images without a command in the pod (by container name), `variables` are
    added to a container's own, such as for a double's behaviour, and `programs` are folders of this
    machine that all containers see.
    """

    folder: Path
    context: PodContext
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    programs: Sequence[Path] = ()
    home: str = "/app"
    containers: dict[str, Container] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for volume in self.spec["volumes"]:
            self._make_volume(volume)

    @property
    def spec(self) -> Mapping[str, Any]:
        """The pod's spec."""
        return self.context.body["spec"]

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return str(self.context.body["metadata"]["namespace"])

    @property
    def uid(self) -> str:
        """The pod's UID."""
        return str(self.context.body["metadata"]["uid"])

    def volume(self, name: str) -> Path:
        """The folder of a volume on this machine."""
        return self.folder / "volumes" / name

    @property
    def workspace(self) -> Path:
        """The folder of the workspace."""
        return self.volume("workspace")

    @property
    def files(self) -> SessionFiles:
        """What the bridge has written into the workspace."""
        return SessionFiles(self.workspace)

    def refresh_volumes(self) -> None:
        """Write all files of ConfigMaps, Secrets and the downward API again."""
        for volume in self.spec["volumes"]:
            if "emptyDir" not in volume:
                write_files(self.volume(volume["name"]), dict(list_files(self.context, volume)))

    def find(self, name: str) -> Mapping[str, Any]:
        """Find a container's declaration."""
        declared = [*(self.spec.get("initContainers") or ()), *self.spec["containers"]]
        return next(each for each in declared if each["name"] == name)

    def start(self) -> None:
        """Start all containers in order; an init container must end with 0 first."""
        for container in self.spec.get("initContainers") or ():
            started = self.start_container(container["name"])
            if container.get("restartPolicy") != "Always" and started.wait():
                raise RuntimeError(f"{container['name']} failed: {started.output}")
        for container in self.spec["containers"]:
            self.start_container(container["name"])

    def start_container(self, name: str) -> Container:
        """Start one container, also again."""
        declared = self.find(name)
        folder = self.folder / "containers" / name
        folder.mkdir(parents=True, exist_ok=True)
        log, message = folder / "log", folder / "message"
        message.write_text("")
        message.chmod(0o666)
        with log.open("ab") as output:
            process = launch(self._build_start(declared, folder), folder, output)
        self.containers[name] = Container(name, process, log, message)
        return self.containers[name]

    def execute(self, name: str, *command: str) -> Execution:
        """Run a command in a container, with its user, mounts and variables; its root is new."""
        with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=self.folder / "containers") as made:
            folder = Path(made)
            (folder / "message").touch()
            values = self._build_start({**self.find(name), "command": command, "args": ()}, folder)
            log = folder / "log"
            with log.open("ab") as output:
                code = launch(values, folder, output).wait()
            return Execution(code, log.read_text(errors="replace"))

    def stop(self) -> dict[str, Ended]:
        """End the pod as the kubelet does, and return how each container ended.

        All hooks begin at the same time. After its hook a container gets TERM, a native sidecar
        once all containers that were started after it have ended.
        """
        begin = time.monotonic()
        native = [
            each["name"]
            for each in self.spec.get("initContainers") or ()
            if each.get("restartPolicy") == "Always"
        ]
        order = [*native, *(each["name"] for each in self.spec["containers"])]
        later = {name: order[number + 1 :] for number, name in enumerate(native)}
        with ThreadPoolExecutor(len(order)) as threads:
            ended = threads.map(
                lambda name: self._stop_container(name, later.get(name, ()), begin), order
            )
            return dict(zip(order, ended, strict=True))

    def _stop_container(self, name: str, later: Sequence[str], begin: float) -> Ended:
        container = self.containers[name]
        hook = self.find(name).get("lifecycle", {}).get("preStop", {}).get("exec")
        if hook is not None and container.is_running:
            self.execute(name, *hook["command"])
        prepared = time.monotonic()
        for each in later:
            self.containers[each].wait(_LONGEST_STOP)
        container.kill(signal.SIGTERM)
        code = container.wait(_LONGEST_STOP)
        return Ended(code, prepared - begin, time.monotonic() - begin)

    def lose(self) -> None:
        """Kill every container at once, as with a lost node."""
        for container in self.containers.values():
            container.kill()
        for container in self.containers.values():
            container.wait()

    def _make_volume(self, volume: Mapping[str, Any]) -> None:
        path = self.volume(volume["name"])
        path.mkdir(parents=True, exist_ok=True)
        if "emptyDir" in volume:
            group = self.spec["securityContext"].get("fsGroup", 0)
            if os.geteuid() == 0:
                os.chown(path, 0, group)
            path.chmod(stat.S_ISGID | 0o777)
        else:
            write_files(path, dict(list_files(self.context, volume)))

    def _build_start(self, container: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        security = {**self.spec["securityContext"], **container.get("securityContext", {})}
        user = security.get("runAsUser", 1_000_650_000)
        groups = [security.get("runAsGroup", 0)]
        groups += [security["fsGroup"]] if "fsGroup" in security else []
        root = folder / "root"
        root.mkdir(exist_ok=True)
        command = [*container.get("command", self.commands.get(container["name"], ()))]
        return {
            "root": str(root),
            "system": [*_system_folders(), *map(str, self.programs)],
            "folders": [self.home],
            "mounts": [
                *self._mounts(container),
                [str(folder / "message"), _log_of(container), False],
            ],
            "scripts": _scripts(),
            "user": user,
            "groups": groups,
            "variables": self._variables(container),
            "directory": container.get("workingDir", "/"),
            "command": [*command, *container.get("args", ())],
            "is_read_only": bool(security.get("readOnlyRootFilesystem")),
        }

    def _mounts(self, container: Mapping[str, Any]) -> Iterator[list[Any]]:
        for mount in container.get("volumeMounts", ()):
            source = self.volume(mount["name"])
            if "subPath" in mount:
                source = _find_sub_path(source, mount["subPath"])
            yield [str(source), mount["mountPath"], bool(mount.get("readOnly"))]

    def _variables(self, container: Mapping[str, Any]) -> dict[str, str]:
        machine = {
            "PATH": "/opt/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": self.home,
            "HOSTNAME": self.context.body["metadata"]["name"],
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        own = build_variables(self.context, container)
        return {**machine, **own, **self.variables.get(container["name"], {})}


def _find_sub_path(volume: Path, sub_path: str) -> Path:
    """Find or make a sub path of a volume; one that leads out of it is refused by the kubelet."""
    path = volume / sub_path
    if os.path.lexists(path):
        target = path.resolve()
        if not target.exists() or not target.is_relative_to(volume.resolve()):
            raise RuntimeError(f"subPath {sub_path} leads out of its volume: the mount is refused")
        return target
    path.mkdir(parents=True)
    status = volume.stat()
    os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))
    return path


def _log_of(container: Mapping[str, Any]) -> str:
    return str(container.get("terminationMessagePath", "/dev/termination-log"))


def _system_folders() -> list[str]:
    own = sys.base_prefix, str(ROOT), sys.prefix, os.path.realpath(sys.prefix)
    return [each for each in (*_SYSTEM, *own) if os.path.lexists(each)]


def _scripts() -> dict[str, str]:
    """The programs of the images: ours, and a Python."""
    python = f'#!/bin/sh\nexec "{sys.executable}"'
    modules = {"reconcile-mirror": "reconcile.mirror", "reconcile-runner": "reconcile.runner"}
    programs = {name: f'{python} -m {module} "$@"\n' for name, module in modules.items()}
    return {**programs, "python3": f'{python} "$@"\n', "python": f'{python} "$@"\n'}


def wait_until(condition: Callable[[], _Value], what: str, timeout: float = 60.0) -> _Value:
    """Wait until a condition gives something true, and return it."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {timeout:g} s")
        time.sleep(0.05)


def show_logs(pod: LocalPod, output: TextIO = sys.stderr) -> None:
    """Print what the containers have logged, for a test that fails."""
    for container in pod.containers.values():
        print(f"--- {container.name}\n{container.output}", file=output)
