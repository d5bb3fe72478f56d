"""Runs git so that a repository's files and its server never run a program.

Every use of git in the package goes through here: reading desired files at a commit, finding the
base of a pull request, restoring the repositories of an imported session, cloning for an agent.
"""

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final

_NOT_STARTED: Final = 127
NOT_STARTED: Final = "git cannot be started"
"""The beginning of the reason of a result without a git program."""
_TIMED_OUT: Final = 124
_STOPPED: Final = 125
_SAFE_CONFIG: Final = (
    "safe.bareRepository=explicit",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "fetch.recurseSubmodules=false",
)
ISOLATED_ENVIRON: Final = {
    "HOME": "/nonexistent",
    "XDG_CONFIG_HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
}
"""Variables with which git uses neither the machine's nor a user's configuration."""

_SAFE_ENVIRON: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_REPLACE_OBJECTS": "1"}
NO_NETWORK: Final = ("protocol.allow=never",)
"""Configuration that refuses every transport: objects that a clone lacks are not fetched."""


@dataclass(frozen=True, slots=True)
class GitResult:
    """How a git command ended: exit code, output and error output.

    127 stands for a git that could not be started, 124 for one that took too long, 125 for one
    that its caller stopped.
    """

    code: int
    out: bytes = field(repr=False)
    err: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether the command succeeded."""
        return self.code == 0

    @property
    def text(self) -> str:
        """The output without its last line end; bytes that are not UTF-8 become surrogates."""
        return self.out.decode(errors="surrogateescape").rstrip("\n")

    @property
    def reason(self) -> str:
        """Why the command failed: the last line of its error output, or its exit code."""
        lines = self.err.decode(errors="backslashreplace").strip().splitlines()
        return lines[-1] if lines else f"git ended with exit code {self.code}"


@dataclass(frozen=True, slots=True)
class GitRepository:
    """A repository, and how git is run in it.

    Naming the repository keeps git from searching for one. A search would accept tracked files
    that look like a bare repository (HEAD, config, objects, refs), and run the programs that their
    config names. It would also refuse a checkout that another user owns, for example the user of
    an init container.

    Attributes:
        top: The top of the work tree, which contains `.git`.
        folder: The working directory of git.
        environ: The environment of git; no terminal prompt is ever made.
        config: Further `name=value` settings.
        timeout: Seconds after which a command is killed.
    """

    top: Path
    folder: Path
    environ: Mapping[str, str] = field(repr=False)
    config: tuple[str, ...] = NO_NETWORK
    timeout: float = 30.0

    def run(self, *arguments: str, stdin: bytes = b"") -> GitResult:
        """Run one git command to its end; raises nothing, the result says what went wrong."""
        try:
            done = subprocess.run(  # noqa: S603 - a fixed program, arguments after options
                self._build_command(arguments),
                cwd=self.folder,
                env={**self.environ, **_SAFE_ENVIRON},
                input=stdin,
                capture_output=True,
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            message = f"git {arguments[0]} took longer than {self.timeout:g} s"
            return GitResult(_TIMED_OUT, b"", message.encode())
        except (OSError, ValueError) as error:
            return GitResult(_NOT_STARTED, b"", f"{NOT_STARTED}: {error}".encode())
        return GitResult(done.returncode, done.stdout, done.stderr)

    def status(self, *arguments: str) -> GitResult:
        """Run `git status`, the one command that reads files of the work tree.

        Git filters their content through programs that a `.gitattributes` file chooses: none runs,
        and a file that was stored through one counts as changed.
        """
        listed = self.run("config", "-z", "--name-only", "--get-regexp", r"^filter\.")
        filters = {name.rpartition(".")[0] for name in listed.text.split("\0") if name}
        environ = {**self.environ, **_disable_filters(sorted(filters))}
        return replace(self, environ=environ).run("status", *arguments)

    def find_tracked_config(self) -> Path | None:
        """Find a file of the work tree that git reads as configuration, such as by `include.path`.

        Its author may not be the one who set up the repository.
        """
        listed = self.run("config", "-z", "--list", "--show-origin", "--name-only").out
        top, git_folder = (Path(os.path.realpath(each)) for each in (self.top, self.top / ".git"))
        for origin in dict.fromkeys(listed.split(b"\0")[::2]):
            path = Path(os.path.realpath(self.folder / os.fsdecode(origin.removeprefix(b"file:"))))
            is_ours = path.is_relative_to(git_folder)
            if origin.startswith(b"file:") and path.is_relative_to(top) and not is_ours:
                return path
        return None

    def _build_command(self, arguments: tuple[str, ...]) -> list[str]:
        options = [part for each in (*_SAFE_CONFIG, *self.config) for part in ("-c", each)]
        repository = [f"--git-dir={self.top / '.git'}", f"--work-tree={self.top}"]
        return ["git", "--no-optional-locks", *options, *repository, *arguments]


def _disable_filters(filters: Iterable[str]) -> Mapping[str, str]:
    """Return the environment in which these filters do nothing; `-c` allows no `=` in a name."""
    values = {"clean": "", "process": "", "required": "false"}
    settings = [(f"{each}.{name}", value) for each in filters for name, value in values.items()]
    environ = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings):
        environ |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return environ


def find_work_tree(folder: Path) -> Path | None:
    """Find the nearest folder with a `.git`: `folder` itself or one above it."""
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)


def find_tracked_link(path: Path, environ: Mapping[str, str]) -> Path | None:
    """Find a symbolic link on the way to a path, or at its end, that a repository tracks.

    The author of a commit chooses where such a link leads. A link that is not tracked was made on
    this machine, such as the one of git-sync to its current work tree. Without git, every link in a
    work tree counts.
    """
    lexical = Path(os.path.normpath(path.absolute()))
    links = (each for each in (lexical, *lexical.parents) if each.is_symlink())
    return next((each for each in links if _is_tracked(each, environ)), None)


def _is_tracked(path: Path, environ: Mapping[str, str]) -> bool:
    folder = Path(os.path.realpath(path.parent))
    top = find_work_tree(folder)
    if top is None:
        return False
    pathspec = f":(top,literal){(folder / path.name).relative_to(top).as_posix()}"
    listed = GitRepository(top, folder, environ).run("ls-files", "-z", "--", pathspec)
    return not listed.ok or bool(listed.out)


_WATCH_INTERVAL: Final = 0.2
_LONGEST_ERROR_OUTPUT: Final = 16 << 10
_READ_SIZE: Final = 64 << 10
_REMOTE_CONFIG: Final = (
    *_SAFE_CONFIG,
    "submodule.recurse=false",
    # A redirect may lead to a host that is not allowed, and takes the password with it.
    "http.followRedirects=false",
    # Seconds without a byte; a server that prepares a large pack sends signs of life.
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "credential.helper=",
    "core.askPass=",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
    # Git counts the machine's processors, and each thread needs memory, of which a container has
    # less.
    "pack.threads=2",
)
_REMOTE_ENVIRON: Final = {
    **_SAFE_ENVIRON,
    **ISOLATED_ENVIRON,
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
}
_INHERITED: Final = frozenset(
    {"PATH", "TMPDIR", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}
    | {"HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"}
)


@dataclass(frozen=True, slots=True)
class RemoteGit:
    """Runs git commands that talk to another server, such as a clone.

    Neither the machine's nor a user's configuration is used; the one transport is `protocol`, and
    no redirect, submodule or alternate repository leads to another one. Nothing asks for input.

    Attributes:
        folder: The working directory of git.
        protocol: The transport that the URL names, such as `https`.
        environ: The environment of this process, of which git gets the path and the proxies.
        config: Further `name=value` settings, which are stored in no repository.
        ssh_command: The shell command that connects to an ssh server.
    """

    folder: Path
    protocol: str
    environ: Mapping[str, str] = field(repr=False)
    config: tuple[str, ...] = ()
    ssh_command: str = ""

    def run(self, *arguments: str, find_reason_to_stop: Callable[[], str]) -> GitResult:
        """Run one git command; raises nothing, the result says what went wrong.

        Its output is what the command lists, such as branches, and at most 64 KiB of it.

        Args:
            *arguments: The command and its arguments.
            find_reason_to_stop: Called several times a second; as soon as it returns a text, git
                and all programs that it has started are killed, and the text is the reason.
        """
        try:
            with tempfile.TemporaryFile() as listed:
                result = self._run(arguments, listed, find_reason_to_stop)
                listed.seek(0)
                return replace(result, out=listed.read(_READ_SIZE))
        except (OSError, ValueError) as error:
            return GitResult(_NOT_STARTED, b"", f"{NOT_STARTED}: {error}".encode())

    def _run(
        self, arguments: tuple[str, ...], out: IO[bytes], find_reason_to_stop: Callable[[], str]
    ) -> GitResult:
        with subprocess.Popen(  # noqa: S603 - a fixed program, arguments after options
            self._build_command(arguments),
            cwd=self.folder,
            env=self._build_environ(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                output, stopped = _watch(process, find_reason_to_stop)
            finally:
                # Programs that git has started may outlive it.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if stopped:
            return GitResult(_STOPPED, b"", stopped.encode())
        return GitResult(process.returncode, b"", output)

    def _build_command(self, arguments: tuple[str, ...]) -> list[str]:
        return [
            "git",
            *(part for each in (*_REMOTE_CONFIG, *self.config) for part in ("-c", each)),
            *arguments,
        ]

    def _build_environ(self) -> dict[str, str]:
        inherited = {name: text for name, text in self.environ.items() if name in _INHERITED}
        own = {"GIT_ALLOW_PROTOCOL": self.protocol, "GIT_SSH_COMMAND": self.ssh_command or "false"}
        return {**inherited, **_REMOTE_ENVIRON, **own}


def _watch(
    process: subprocess.Popen[bytes], find_reason_to_stop: Callable[[], str]
) -> tuple[bytes, str]:
    """Read the end of the error output until git has ended or is to be stopped."""
    assert process.stderr is not None
    descriptor = process.stderr.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    output = b""
    is_open = True
    while not (reason := find_reason_to_stop()):
        if is_open and poll.poll(int(_WATCH_INTERVAL * 1000)):
            data = os.read(descriptor, _READ_SIZE)
            output = (output + data)[-_LONGEST_ERROR_OUTPUT:]
            is_open = bool(data)
        elif _has_ended(process, 0 if is_open else _WATCH_INTERVAL):
            break
    return output, reason


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None
