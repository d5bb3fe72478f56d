"""What tests of the mirror share: a clock that they move, faults of a store, and pods."""

import math
import stat

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.backup.syncer import Syncer, Workspace
from reconcile.mirror.concurrency import Deadline, WorkerPool
from reconcile.mirror.errors import PreconditionError, StoreAwayError
from reconcile.mirror.local_state import StateDirectory, require_hydrate_marker
from reconcile.mirror.protocol import ClaimRequest
from reconcile.mirror.restore.restore import RestoreContext, RestoreTarget
from reconcile.mirror.sidecar.hydrate import PartialPolicy, hydrate_workspace
from reconcile.mirror.snapshot.repack import DEFAULT_REPACK_POLICY
from reconcile.mirror.workspace.excludes import Excludes


class FakeClock:
    """Time that moves only by waits; `ahead` is by how much the wall clock was set."""

    def __init__(self, start=1_000.0):
        self.seconds = start
        self.ahead = 0.0
        self.waits = []
        self.during = lambda: None

    def monotonic(self):
        return self.seconds

    def time_ns(self):
        return int((self.seconds + self.ahead) * 1e9)

    def steady_ns(self):
        return int(self.seconds * 1e9)

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.seconds += seconds
        self.during()

    def jitter(self):
        return 0.5


class Script:
    """Faults for a MemoryBucket, used up one by one; each is for one method and one moment."""

    def __init__(self):
        self.left = []
        self._always = []
        self._busy = False

    def lose_before(self, method, times=1):
        """The request does not arrive."""
        self.left += [(method, False, lambda: StoreAwayError("no answer"))] * times

    def lose_after(self, method, times=1):
        """The request is carried out, and the answer lost."""
        self.left += [(method, True, lambda: StoreAwayError("no answer"))] * times

    def refuse(self, method, times=1):
        self.fail(method, PreconditionError("refused"), times)

    def fail(self, method, error, times=1):
        self.left += [(method, False, lambda: error)] * times

    def before(self, method, deed):
        """Something else happens just before the request arrives."""
        self.left.append((method, False, deed))

    def always_before(self, method, deed):
        self._always.append((method, deed))

    def fault(self, request):
        if self._busy:
            return None
        for method, deed in self._always:
            if method == request.method and not request.done:
                self._do(deed)
        for item in self.left:
            if item[:2] == (request.method, request.done):
                self.left.remove(item)
                return self._do(item[2])
        return None

    def _do(self, deed):
        self._busy = True
        try:
            result = deed()
        finally:
            self._busy = False
        return result if isinstance(result, Exception) else None


class Silent:
    """A journal that remembers events."""

    def __init__(self):
        self.events = []

    def info(self, event, **fields):
        self.events.append((event, fields))

    warning = info


class Pod:
    """A workspace and a state directory of its own, before a store that others share."""

    def __init__(self, folder, name, store, clock=None):
        self.root = folder / name / "workspace"
        self.root.mkdir(parents=True)
        self.state = StateDirectory(folder / name / "state")
        self.store = store
        self.clock = clock or FakeClock()
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
        return Syncer(workspace, self.store, WorkerPool(2, "upload"), self.clock)

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


def requests(store):
    """What the bucket was asked, in short."""
    return [f"{r.method} {r.key.partition('/')[0]}" for r in store.bucket.requests]


class Interrupted:
    """A store before whose first conditional write something else happens."""

    def __init__(self, inner, deed):
        self._inner = inner
        self._deed = deed

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put_if(self, key, body, etag):
        deed, self._deed = self._deed, lambda: None
        deed()
        return self._inner.put_if(key, body, etag)
