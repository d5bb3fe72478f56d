"""What tests of the mirror share: a clock that they move, and a script of what goes wrong."""

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
    """A journal that remembers events."""

    def __init__(self):
        self.events = []

    def info(self, event, **fields):
        self.events.append((event, fields))

    warning = info


class MirrorPod:
    """A workspace and a state directory of its own, before a store that others share."""

    def __init__(self, folder, name, store, clock=None):
        self.root = folder / name / "workspace"
        self.root.mkdir(parents=True)
        self.state = StateDirectory(folder / name / "state")
        self.store = store
        self.clock = clock or FakeClock(1_000.0)
        self.claimant = ClaimRequest(f"uid-{name}", name)
        self.excludes = Excludes(["*.skip"])

    def hydrate(self, policy=PartialPolicy.USE, trusted=lambda: None):
        means = RestoreContext(
            self.store, WorkerPool(2, "fetch"), self.clock, lambda _piece: None, trusted
        )
        volume = RestoreTarget(self.root, self.state, self.excludes)
        return hydrate_workspace(volume, means, self.claimant, policy)

    def syncer(self):
        writer = require_hydrate_marker(self.state, self.root).writer
        workspace = Workspace(self.root, self.excludes, self.state, writer)
        return Syncer(workspace, lambda: self.store, WorkerPool(2, "upload"), self.clock)

    def effort(
        self, *, final=False, ends=math.inf, asked=lambda: False, thrift=DEFAULT_REPACK_POLICY
    ):
        return PassOptions(Deadline(self.clock, ends, asked), final, thrift)

    def sync(self, **effort):
        """One pass of a new process."""
        return self.syncer().run(self.effort(**effort))

    def write(self, path, data=b"x"):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target


def listing(root):
    """All that a round trip must keep: kind, mode, time, bytes, target, and who shares an inode."""
    found, inodes = {}, {}
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
        found[name] = tuple(facts)
    return found
