"""`python -m tests.mirror.faults.round_trip`: a workspace, there and back, compared by rsync.

The workspace is the benchmark's W2 in full size. The real programs store and restore it on the real
server, then after an hour of work (W4) again. `rsync -naiHc --delete` must find nothing to do:
names, kinds, modes, times, links, hard links, and every byte. That it would is shown, too.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.trees import w2, w4
from tests.mirror.compare_trees import differences, rsync_differences
from tests.mirror.faults import faulty_session
from tests.mirror.faults.faulty_session import Session
from tests.mirror.mirror_pod import MirrorPod
from tests.s3 import ceph


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry it there and back, and print what rsync says."""
    parser = argparse.ArgumentParser(prog="python -m tests.mirror.faults.round_trip")
    parser.add_argument("--scale", type=float, default=1.0)
    scale = parser.parse_args(arguments).scale
    with (
        tempfile.TemporaryDirectory(prefix="whole-") as name,
        ceph.running(Path(name) / "ceph") as server,
        faulty_session.session(server, Path(name) / "session") as session,
    ):
        pod = session.pod("one")
        assert session.run("hydrate", pod).code == 0
        w2(pod.root, scale)
        second, good = _there_and_back(session, pod, "W2")
        w4(second.root)
        third, still_good = _there_and_back(session, second, "W4")
        judged = _sees_losses(second.root, third.root)
    return int(not (good and still_good and judged))


def _there_and_back(session: Session, pod: MirrorPod, name: str) -> tuple[MirrorPod, bool]:
    """Return the next pod, and whether it got everything."""
    began = time.perf_counter()
    assert session.run("sync", pod, "--once", "--no-default-excludes").code == 0
    new = session.pod(f"after-{name}")
    assert session.run("hydrate", new, "--no-default-excludes").code == 0
    took = time.perf_counter() - began
    said = rsync_differences(pod.root, new.root)
    ours = differences(pod.root, new.root)
    sys.stdout.write(f"{name}: {_size(pod.root)}, there and back in {took:.1f} s\n")
    sys.stdout.write("".join(f"{line}\n" for line in (*said[:20], *ours[:20])))
    sys.stdout.write(f"  rsync -naiHc --delete: {len(said)} differences; by ours {len(ours)}\n")
    return new, not said and not ours


def _size(root: Path) -> str:
    count = size = 0
    for folder, folders, files in os.walk(os.fsencode(root)):
        count += len(folders) + len(files)
        size += sum(os.lstat(folder + b"/" + file).st_size for file in files)
    return f"{count} entries, {size / 1e6:.0f} MB"


def _sees_losses(before: Path, after: Path) -> bool:
    """Spoil the copy in four ways, and see that the judge names each."""
    files = [path for path in sorted(after.rglob("*.js")) if path.is_file()][:4]
    one, two, three, four = files
    one.unlink()
    two.chmod(0o600 if two.stat().st_mode & 0o777 != 0o600 else 0o644)
    os.utime(three, ns=(1, 1))
    status = four.stat()
    four.write_bytes(bytes(status.st_size))
    os.utime(four, ns=(status.st_atime_ns, status.st_mtime_ns))
    said = rsync_differences(before, after)
    found = all(any(str(path.relative_to(after)) in line for line in said) for path in files)
    words = "all" if found else "not all"
    sys.stdout.write(f"of four files that are spoilt then, rsync names {words}\n")
    return found


if __name__ == "__main__":
    sys.exit(main())
