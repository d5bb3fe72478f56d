"""OpenSSH's own server on 127.0.0.1, from Debian's packages without an installation.

It runs as a user without privileges, who by `nss_wrapper` has the name `git` and a shell.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane import processes, waiting
from tests.controlplane.ports import free
from tests.mirror.tools import unpacked
from tests.mirror.workspace.unprivileged import NOBODY

_PACKAGES = ("openssh-server", "libwrap0", "libnss-wrapper")
_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


@dataclass(frozen=True, slots=True)
class SshServer:
    """A running server: `key` may read all repositories, `known_hosts` has its line."""

    port: int
    key: str
    known_hosts: str

    def url(self, path: Path) -> str:
        """The URL of a repository."""
        return f"ssh://git@127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[SshServer]:
    """Run a server until the end of the block; all users may read `folder` and write to it.

    Raises:
        ControlPlaneMissing: There are no packages of Debian.
    """
    user = os.getuid() or NOBODY
    programs = _copy(unpacked(_PACKAGES) / "usr", folder / "programs")
    for name in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
        os.chown(folder / name, user, -1)
    port = free(1)[0]
    (folder / "config").write_text(_CONFIG.format(port=port, folder=folder))
    (folder / "passwd").write_text(f"git:x:{user}:{user}:git:{folder}:/bin/sh\n")
    (folder / "group").write_text(f"git:x:{user}:\n")
    environ = {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": str(programs),
        "LD_PRELOAD": f"{programs}/libnss_wrapper.so",
        "NSS_WRAPPER_PASSWD": f"{folder}/passwd",
        "NSS_WRAPPER_GROUP": f"{folder}/group",
    }
    command = [f"{programs}/sshd", "-D", "-r", "-e", "-f", f"{folder}/config"]
    if os.getuid() == 0:
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
    server = processes.spawn("sshd", command, log=folder / "log", env=environ)
    try:
        waiting.until("sshd listens", lambda: _listens(server))
        public = " ".join((folder / "host.pub").read_text().split()[:2])
        known = f"[127.0.0.1]:{port} {public}\n"
        yield SshServer(port, (folder / "client").read_text(), known)
    finally:
        processes.stop(server, 5)


def _copy(root: Path, into: Path) -> Path:
    """Copy what is needed to where another user can read it."""
    into.mkdir()
    for pattern in ("sbin/sshd", "lib/*/libwrap.so.0", "lib/*/libnss_wrapper.so"):
        for path in root.glob(pattern):
            shutil.copy(path, into)
    return into


def _listens(server: processes.Component) -> bool:
    server.check()
    return "Server listening" in server.log.read_text()
