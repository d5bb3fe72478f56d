"""Starts and stops Ceph with its S3 gateway, with all data in memory."""

import contextlib
import json
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reconcile.mirror.store.config import AccessKeys
from tests.controlplane import ports, processes, waiting
from tests.s3 import cephconf, cephrecipe, monitor
from tests.s3.access import S3Server
from tests.s3.errors import S3ServerError


@dataclass(frozen=True, slots=True)
class User:
    """A user of the gateway."""

    user: str
    keys: AccessKeys


OWNER = User("test", AccessKeys("AKIATESTTESTTESTTEST", "a/secret+for=tests"))
OTHER = User("other", AccessKeys("AKIAOTHEROTHEROTHERO", "another/secret+for=tests"))
"""A user with no rights except by bucket policies."""
ATTEMPTS = 3


@contextlib.contextmanager
def running(state: Path, handle: Path | None = None) -> Iterator[S3Server]:
    """Run an empty server for the duration of the block.

    Args:
        state: Folder for its files and logs; the files of an earlier run are removed.
        handle: A file to write when it is ready, for `S3Server.attach` in other processes.

    Raises:
        S3ServerMissing: There are no executables.
        S3ServerError: A component did not start; with the end of its log.
    """
    programs = cephrecipe.programs()
    with contextlib.ExitStack() as stack:
        server = _start(stack, programs, state.absolute())
        if handle:
            stack.callback(handle.unlink, missing_ok=True)
            server.save(handle)
        yield server


def _start(stack: contextlib.ExitStack, programs: Path, state: Path) -> S3Server:
    for attempt in range(1, ATTEMPTS + 1):
        with contextlib.ExitStack() as attempt_stack:
            shutil.rmtree(state, ignore_errors=True)
            state.mkdir(parents=True)
            launch = _Launch(programs, state, cephconf.Ports(*ports.free(2)), attempt_stack)
            try:
                server = launch.start()
            except S3ServerError:
                if attempt == ATTEMPTS:
                    raise
            else:
                stack.push(attempt_stack.pop_all())
                return server
    raise AssertionError("the last attempt returns or raises")


@dataclass(frozen=True, slots=True)
class _Launch:
    """One attempt to start everything; closing `stack` stops the started components."""

    programs: Path
    state: Path
    ports: cephconf.Ports
    stack: contextlib.ExitStack

    def start(self) -> S3Server:
        (self.state / "ceph.conf").write_text(cephconf.text(self.programs, self.state, self.ports))
        self.start_cluster()
        self.make_user(OWNER)
        self.make_user(OTHER)
        self.start_gateway()
        url = f"http://127.0.0.1:{self.ports.gateway}"
        return S3Server(url, OWNER.keys, checks_keys=True, state=str(self.state))

    def start_gateway(self) -> processes.Component:
        """Start the S3 gateway, and wait until it listens."""
        front = f"beast endpoint=127.0.0.1:{self.ports.gateway}"
        gateway = self.spawn("radosgw", "-n", "client.rgw", "--rgw-frontends", front)
        waiting.until("Ceph's gateway", lambda: _listens(gateway, self.ports.gateway))
        return gateway

    def start_cluster(self) -> None:
        """Create and start one monitor and one OSD."""
        address = f"[v1:127.0.0.1:{self.ports.monitor}]"
        monitors = str(self.state / "monmap")
        create = ("--create", "--fsid", cephconf.CLUSTER, "--addv", "a", address, monitors)
        self.run("monmaptool", *create)
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monitors)
        self.spawn("ceph-mon", "-i", "a")
        self.command(
            {"prefix": "osd new", "uuid": cephconf.OSD},
            {"prefix": "osd crush add", "id": 0, "weight": 1.0, "args": ["root=default"]},
        )
        (self.state / "osd").mkdir()
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", cephconf.OSD)
        self.spawn("ceph-osd", "-i", "0")

    def make_user(self, user: User) -> None:
        """Create a user; for the first one, this also creates the gateway's pools."""
        name = (f"--uid={user.user}", f"--display-name={user.user}")
        keys = ("--access-key", user.keys.access_key, "--secret-key", user.keys.secret_key)
        self.run("radosgw-admin", "user", "create", *name, *keys)

    def command(self, *commands: Mapping[str, object]) -> None:
        """Send commands to the monitor as JSON."""
        arguments = [json.dumps(command) for command in commands]
        processes.output([sys.executable, monitor.__file__, *arguments], env=self.environment)

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / "bin" / program), *arguments]
        log = self.state / f"{program}.out"
        processes.run(command, log=log, cwd=self.state, env=self.environment)

    def spawn(self, program: str, *arguments: str) -> processes.Component:
        command: Sequence[str] = [str(self.programs / "bin" / program), *arguments, "-f"]
        log = self.state / f"{program}.out"
        component = processes.spawn(program, command, log=log, env=self.environment)
        # Killed, since nothing is worth keeping and an orderly stop takes seconds.
        self.stack.callback(processes.stop, component, 0.0)
        return component

    @property
    def environment(self) -> Mapping[str, str]:
        """Paths in the cache and the state folder only; the machine's own Ceph is not used."""
        library = self.programs / "lib"
        return {
            "PATH": cephrecipe.PATH,
            "HOME": str(self.state),
            "CEPH_CONF": str(self.state / "ceph.conf"),
            "LD_LIBRARY_PATH": f"{library}:{library / 'ceph'}",
        }


@contextlib.contextmanager
def gateway(server: S3Server, port: int) -> Iterator[processes.Component]:
    """Run a second gateway for the same objects, which the caller may kill."""
    with contextlib.ExitStack() as stack:
        places = cephconf.Ports(0, port)
        launch = _Launch(cephrecipe.programs(), Path(server.state), places, stack)
        yield launch.start_gateway()


def _listens(component: processes.Component, port: int) -> bool:
    component.check()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
