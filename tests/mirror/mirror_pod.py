"""A pod with the mirror's directories, a logger that records, and the content of a directory."""

import math
import stat

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.backup.syncer import Syncer, Workspace
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.local_state import StateDirectory, require_hydrate_marker
from reconcile.mirror.protocol import ClaimRequest
from reconcile.mirror.restore.restore import RestoreContext, RestoreTarget
from reconcile.mirror.sidecar.hydrate import PartialPolicy, hydrate_workspace
from reconcile.mirror.snapshot.repack import DEFAULT_REPACK_POLICY
from reconcile.mirror.workspace.excludes import Excludes
from tests.clocks import FakeClock


class RecordingLogger:
    """A logger that records its events."""

    def __init__(self):
        self.events = []

    def info(self, event, **fields):
        self.events.append((event, fields))

    warning = info


class MirrorPod:
    """A pod with its own workspace and state directory, and a store that it shares with others."""

    def __init__(self, folder, name, store, clock=None):
        self.root = folder / name / "workspace"
        self.root.mkdir(parents=True)
        self.state = StateDirectory(folder / name / "state")
        self.store = store
        self.clock = clock or FakeClock(1_000.0)
        self.claimant = ClaimRequest(f"uid-{name}", name)
        self.excludes = Excludes(["*.skip"])

    def hydrate(self, policy=PartialPolicy.USE, trusted=lambda: None):
        context = RestoreContext(
            self.store, WorkerPool(2, "fetch"), self.clock, lambda _piece: None, trusted
        )
        volume = RestoreTarget(self.root, self.state, self.excludes)
        return hydrate_workspace(volume, context, self.claimant, policy)

    def syncer(self):
        writer = require_hydrate_marker(self.state, self.root).writer
        workspace = Workspace(self.root, self.excludes, self.state, writer)
        return Syncer(workspace, self.store, WorkerPool(2, "upload"), self.clock)

    def pass_options(
        self, *, final=False, ends=math.inf, asked=lambda: False, thrift=DEFAULT_REPACK_POLICY
    ):
        return PassOptions(Deadline(self.clock, ends, asked), final, thrift)

    def sync(self, **options):
        """One pass of a new process; `options` are those of `pass_options`."""
        return self.syncer().run(self.pass_options(**options))

    def write(self, path, data=b"x"):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target


def listing(root):
    """What a round trip must keep: kind, mode, time, content, link target, and hard links."""
    entries, inodes = {}, {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        status = path.lstat()
        facts = [stat.S_IFMT(status.st_mode), status.st_mtime_ns]
        if path.is_symlink():
            facts.append(str(path.readlink()))
        else:
            facts.append(status.st_mode)
        if path.is_file() and not path.is_symlink():
            facts += [path.read_bytes(), inodes.setdefault(status.st_ino, name)]
        entries[name] = tuple(facts)
    return entries
