"""An agent that attacks the mirror of its pod while `sync` runs; another pod restores what is left.

The agent may do everything in the workspace, and asks the mirror's port. Nothing outside of the
workspace is read or written, no program runs, no other session's object changes, `sync` goes on,
and all harmless files are stored.
"""

import contextlib
import gzip
import itertools
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.workspace.session_mark import MAX_SESSION_FILES
from tests.controlplane import ports
from tests.security.forged_bucket import NEIGHBOUR, ForgedBucket
from tests.security.mirror_commands import PREFIX, SECRET_KEY, TOKEN, MirrorCommands

CANARY = b"canary-of-the-node-4711"
HARMLESS = {f"work/{number}": b"work %d" % number for number in range(20)}
WAIT_S = 60


class Agent:
    """The attacker: knows the workspace, and the names of what is outside of it."""

    def __init__(self, root, outside, port):
        self.root = root
        self.outside = outside
        self.port = port
        self.program = f"touch {outside / 'ran'}"
        self._over = threading.Event()
        self._threads = []
        self.cleanup = contextlib.ExitStack()

    def write(self, path, data=b"x"):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def again_and_again(self, deed):
        """Do something until the end; errors are those of a race with the mirror."""

        def work():
            for turn in itertools.takewhile(lambda _: not self._over.is_set(), itertools.count()):
                with contextlib.suppress(OSError):
                    deed(turn)
                self._over.wait(0.001)

        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.cleanup.close()


def swap_each_component_for_a_link(agent):
    """A file stays the same name while each directory on the way to it becomes a link in turn."""
    deep = [agent.root / "/".join("abcd"[: depth + 1]) for depth in range(4)]
    agent.write("a/b/c/d/secret", b"bait")
    for path in ("b/c/d", "c/d", "d"):
        (agent.outside / path).mkdir(parents=True, exist_ok=True)
        (agent.outside / path / "secret").write_bytes(CANARY)

    def swap(turn):
        path = deep[turn % 4]
        path.rename(agent.root / "aside")
        path.symlink_to(agent.outside)
        path.unlink()
        (agent.root / "aside").rename(path)

    agent.again_and_again(swap)


def swap_files_for_links(agent):
    def swap(turn):
        (agent.root / "new").symlink_to(agent.outside / "secret")
        (agent.root / "new").rename(agent.root / f"f{turn % 5}")
        agent.write("new", b"bait" * 10).rename(agent.root / f"f{turn % 5}")

    agent.again_and_again(swap)


def link_to_everything(agent):
    targets = (agent.outside, agent.outside / "secret", "/proc/self/environ", "/", "..", "x" * 4000)
    for number, target in enumerate(targets):
        (agent.root / f"link{number}").symlink_to(target)
    (agent.root / ".git").symlink_to(agent.outside)
    (agent.root / ".reconcile-mirror").symlink_to(agent.outside)


def add_special_files(agent):
    os.mkfifo(agent.write("special/x").with_name("pipe"))
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(agent.root / "special"):
        listener.bind("socket")
    if os.geteuid() == 0:
        for name, numbers in (("zero", (1, 5)), ("tty", (5, 0)), ("full", (1, 7))):
            path = agent.root / "special" / name
            with contextlib.suppress(PermissionError):
                os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(*numbers))


def swap_files_for_pipes(agent):
    def swap(turn):
        os.mkfifo(agent.root / "new")
        (agent.root / "new").rename(agent.root / f"p{turn % 3}")
        agent.write("new").rename(agent.root / f"p{turn % 3}")

    agent.again_and_again(swap)


def add_hard_links(agent):
    first = agent.write("linked/0", b"one")
    for number in range(1, 500):
        (agent.root / f"linked/{number}").hardlink_to(first)


def add_giant_files(agent):
    for number, size in enumerate(((1 << 40) + 1, 1 << 36, 1 << 34)):
        with contextlib.suppress(OSError):
            os.truncate(agent.write(f"giant{number}"), size)


def add_deep_trees(agent):
    here = os.open(agent.root, os.O_RDONLY)
    for depth in range(650):
        name = "d" * (250 if depth > 600 else 2)
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)


def add_hostile_names(agent):
    names = ("..a", "...", "new\nline", "\x1b[31m", "-rf", "$(id)", "`id`", "\udcff\udcfe", "HEAD")
    for name in (*names, "%2e%2e", "a\\..\\b", "\u202e", "con\r", "'; id; '", "x" * 255):
        agent.write(f"{name}/{name}", b"named")
        (agent.root / f"{name[:200]}.link").symlink_to(f"../../../{name}")


def add_many_files(agent):
    for number in range(3000):
        agent.write(f"many/{number % 30}/{number}", b"%d" % number)


def add_git_repositories(agent):
    """Repositories with programs wherever git runs one, and objects that are none."""
    config = "".join(
        f"[{section}]\n\t{name} = {agent.program}\n"
        for section, name in (
            ("core", "fsmonitor"),
            ("core", "sshCommand"),
            ("core", "editor"),
            ("diff", "external"),
            ('filter "x"', "clean"),
            ("credential", "helper"),
        )
    )
    for top in ("repo/.git", "bare.git", "."):
        agent.write(f"{top}/config", f"{config}[include]\n\tpath = /dev/zero\n".encode())
        agent.write(f"{top}/HEAD", b"ref: refs/heads/../../../../secret\n")
        agent.write(f"{top}/refs/heads/main", b"0" * 40)
        agent.write(f"{top}/objects/00/{'0' * 38}", os.urandom(100))
        agent.write(f"{top}/objects/info/alternates", f"{agent.outside}\n".encode())
        agent.write(f"{top}/packed-refs", b"\xff" * 1000)
        for hook in ("pre-commit", "post-checkout", "post-index-change"):
            script = f"#!/bin/sh\n{agent.program}\n".encode()
            agent.write(f"{top}/hooks/{hook}", script).chmod(0o755)
    agent.write("sub/.git", f"gitdir: {agent.outside}\n".encode())


def add_databases(agent):
    """Databases that are damaged, whose log is of another, and that are links or pipes."""
    path = agent.root / "good.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t(x)")
        whole = path.read_bytes()
    damaged = (whole[:50], whole[:1024] + os.urandom(3000), b"SQLite format 3\0")
    for number, data in enumerate(damaged):
        agent.write(f"bad{number}.db", data)
        agent.write(f"bad{number}.db-wal", b"\x37\x7f\x06\x82" + os.urandom(4000))
        agent.write(f"bad{number}.db-journal", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\xff" * 600)
    (agent.root / "linked.db").symlink_to(agent.outside / "secret")
    (agent.root / "bad0.db-shm").symlink_to(agent.outside / "secret")
    os.mkfifo(agent.root / "good.db-journal")


def lock_databases(agent):
    """A database that is locked for writing as long as the pod runs."""
    code = (
        "import sqlite3, sys, time; d = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "d.executescript('CREATE TABLE t(x); BEGIN EXCLUSIVE; INSERT INTO t VALUES(1)'); "
        "print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(agent.root / "locked.db")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    agent.cleanup.callback(process.communicate)


def grow_files(agent):
    agent.write("log")
    agent.write("whole")

    def grow(turn):
        with (agent.root / "log").open("ab") as log:
            log.write(b"%0100d\n" % turn)
        (agent.root / "whole").write_bytes(b"%d" % (turn % 10) * 100_000)

    agent.again_and_again(grow)


def remove_rights(agent):
    agent.write("closed").chmod(0)
    agent.write("shut/in").parent.chmod(0)
    agent.root.chmod(0o777)


def flood_the_port(agent):
    """Clients that send nothing, too much, or what no client sends; responses are not read."""
    kept = []
    ends = b"\r\n\r\n"
    requests = (b"", b"GET /status", b"A" * 50_000, b"\x1b[31m\xff" + ends, b"GET /../x" + ends)

    def connect(turn):
        client = agent.cleanup.enter_context(socket.create_connection(("127.0.0.1", agent.port), 1))
        kept.append(client)
        if len(kept) > 300:
            kept.pop(0).close()
        client.sendall(requests[turn % len(requests)])

    agent.again_and_again(connect)


def claim_the_mirrors_names(agent):
    """Names that the mirror, a file system and the kubelet use."""
    for name in (".reconcile-mirror", "lost+found", "mark.json", "index", "ending", "attempt"):
        (agent.root / name).symlink_to(agent.outside, target_is_directory=True)
    for name in ("termination", "runner-done", "HEAD", "manifests", "packs"):
        agent.write(f"{name}/x")


def swap_the_session_directory(agent):
    """The directory of the mark, and the mark, become links, pipes and files in turn."""
    folder, aside = agent.root / ".session", agent.root / "aside"
    agent.write(".session/prompt.json", b"{}")
    (agent.outside / "prompt.json").write_bytes(CANARY)

    def swap(turn):
        place = folder if turn % 2 else folder / "prompt.json"
        place.rename(aside)
        if turn % 3 == 0:
            place.symlink_to(agent.outside if turn % 2 else agent.outside / "prompt.json")
        elif turn % 3 == 1:
            os.mkfifo(place)
        else:
            place.write_bytes(b"x")
        place.unlink()
        aside.rename(place)

    agent.again_and_again(swap)


def fill_the_session_directory(agent):
    """More entries than are stored, with a giant, a pipe and a log of a database among them."""
    folder = agent.write(".session/prompt.json", b"{}").parent
    for number in range(3 * MAX_SESSION_FILES):
        os.close(os.open(folder / f"{number}", os.O_CREAT | os.O_WRONLY))
    os.mkfifo(folder / "pipe")
    with contextlib.suppress(OSError):
        os.truncate(agent.write(".session/events.jsonl"), (1 << 40) + 1)
    agent.write(".session/prompt.json-wal", b"SQLite format 3\0")


def make_the_mark_something_else(agent):
    """The mark is a pipe, and what is below it is a repository and a tree of links."""
    os.mkfifo(agent.write(".session/HEAD").with_name("prompt.json"))
    agent.write(".session/refs/heads/main", b"0" * 40)
    agent.write(f".session/objects/00/{'0' * 38}", os.urandom(100))
    (agent.root / ".session/inputs.json").symlink_to(agent.outside / "secret")
    (agent.root / ".reconcile-runner-cloning").symlink_to(agent.outside)


ATTACKS = [
    swap_each_component_for_a_link,
    swap_files_for_links,
    link_to_everything,
    add_special_files,
    swap_files_for_pipes,
    add_hard_links,
    add_giant_files,
    add_deep_trees,
    add_hostile_names,
    add_many_files,
    add_git_repositories,
    add_databases,
    lock_databases,
    grow_files,
    remove_rights,
    flood_the_port,
    claim_the_mirrors_names,
    swap_the_session_directory,
    fill_the_session_directory,
    make_the_mark_something_else,
]


class Pod:
    """A pod of the victim's session, whose mirror and agent run at the same time."""

    def __init__(self, server, folder):
        self.bucket = ForgedBucket(server)
        self.commands = MirrorCommands(folder / "mirror", server.url, self.bucket.name)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_bytes(CANARY)
        self.termination = folder / "termination"
        [self.port] = ports.free(1)
        assert self.commands.run("hydrate", "one").code == MirrorExitCode.OK
        self.root = self.commands.root("one")

    @contextlib.contextmanager
    def syncing(self):
        """Run `sync` for the duration of the block, then end it as a kubelet does."""
        options = (f"--port={self.port}", f"--termination-log={self.termination}")
        process = self.commands.start("sync", "one", "--interval=0.1", *options)
        self.until("sync begins")
        yield
        os.killpg(process.pid, signal.SIGTERM)
        result = self.commands.ended(process, "sync", "one")
        output = result.output.decode(errors="replace")
        assert result.code in {MirrorExitCode.OK, MirrorExitCode.LOST}, output
        assert "Traceback" not in output
        assert SECRET_KEY not in output
        assert TOKEN not in output

    def until(self, event, count=1):
        """Wait until the log of `sync` has an event so many times."""
        deadline = time.monotonic() + WAIT_S
        while self.commands.log("sync", "one").count(b'"event":"%b"' % event.encode()) < count:
            assert time.monotonic() < deadline, self.commands.log("sync", "one").decode()[-3000:]
            time.sleep(0.05)

    def stored(self):
        """Return the bytes of all objects below the session's prefix."""
        bodies = {}
        for key in self.bucket.objects():
            body = self.bucket.whole.get(key).body
            bodies[key] = gzip.decompress(body) if key.endswith(".gz") else body
        return bodies


@pytest.fixture
def pod(moto_server, tmp_path):
    return Pod(moto_server, tmp_path)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_sync_goes_on_and_stores_the_rest_of_the_workspace(pod, attack):
    agent = Agent(pod.root, pod.outside, pod.port)
    with pod.syncing():
        attack(agent)
        before = facts(pod.outside)
        for path, data in HARMLESS.items():
            agent.write(path, data)
        pod.until("committed")
        agent.write("work/late", b"late")
        agent.stop()
    assert facts(pod.outside) == before
    restored_without_harm(pod)
    assert facts(pod.outside) == before


def test_an_agent_that_never_lets_the_mark_rest_has_nothing_stored_and_nothing_hang(pod):
    agent = Agent(pod.root, pod.outside, pod.port)
    mark = agent.write(".session/prompt.json", b"{}")
    agent.again_and_again(lambda turn: mark.write_bytes(b"%d" % turn))
    with pod.syncing():
        for path, data in HARMLESS.items():
            agent.write(path, data)
        pod.until("pass failed", 2)
        assert b"it changes each time that it is read" in pod.commands.log("sync", "one")
        agent.stop()
        agent.write("work/late", b"late")
        pod.until("committed")
    restored_without_harm(pod)


def restored_without_harm(pod):
    bodies = pod.stored()
    assert bodies.pop(NEIGHBOUR) == b"theirs"
    assert all(key.startswith(f"{PREFIX}/") for key in bodies)
    secrets = (CANARY, SECRET_KEY.encode(), TOKEN.encode())
    assert not [key for key, body in bodies.items() if any(each in body for each in secrets)]
    for command, result in pod.commands.run_all(("hydrate", "restore")):
        assert result.code == MirrorExitCode.OK, f"{command}: {result.output!r}"
    target = pod.commands.root("restore").with_name("target")
    for root in (pod.commands.root("hydrate"), target):
        for path, data in {**HARMLESS, "work/late": b"late"}.items():
            assert (root / path).read_bytes() == data
        special = ["find", str(root), "!", "-type", "f", "!", "-type", "d", "!", "-type", "l"]
        assert subprocess.run(special, capture_output=True, check=True).stdout == b""


def facts(folder):
    """Return what would show that something was written below a folder."""
    return {
        path: (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }
