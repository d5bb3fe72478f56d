"""`python -m tests.mirror.faults.million_files`: a million files, with the real programs.

A first sync, one without changes and a last flush take what they are allowed to, next to the
agent's own work; a second session of the same bucket is stored meanwhile; the next pod gets a valid
generation. Prints what each took, and exits with 1 if one took more memory than its container has.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import Cost, command
from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.spec.layers import default_values
from reconcile.core.spec.session_fields import MIRROR
from reconcile.mirror.workspace.fair_share import MAX_FILES
from tests.mirror.faults import faulty_session
from tests.mirror.faults.faulty_session import Session
from tests.mirror.mirror_pod import MirrorPod
from tests.s3 import ceph

FOLDER = 1000
WORK = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, check and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.mirror.faults.million_files")
    parser.add_argument("--files", type=int, default=1_000_000)
    files = parser.parse_args(arguments).files
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="million-", dir=memory) as name,
        ceph.running(Path(name) / "ceph") as server,
        faulty_session.session(server, Path(name) / "session") as session,
    ):
        costs = _measure(session, files)
    limit = container_limit()
    for what, cost in costs.items():
        sys.stdout.write(f"{what:<24}{cost.wall:8.1f} s{cost.peak_mib:8.0f} MiB of {limit:.0f}\n")
    return int(any(cost.peak_mib > limit for cost in costs.values()))


def container_limit() -> float:
    """Return the MiB that a mirror's container gets by default."""
    quantity = parse_quantity(default_values(MIRROR)["resources"]["limits"]["memory"])
    assert quantity is not None
    return float(quantity / 2**20)


def flood(root: Path, files: int) -> None:
    """Make empty files, a thousand in each folder."""
    for number in range(files // FOLDER):
        folder = root / f"a-flood/{number:05}"
        folder.mkdir(parents=True)
        at = os.open(folder, os.O_RDONLY)
        for name in range(FOLDER):
            os.close(os.open(f"{name:03}", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.close(at)


def _measure(session: Session, files: int) -> dict[str, Cost]:
    pod = session.pod("one")
    pod.hydrate()
    began = time.perf_counter()
    flood(pod.root, files)
    work(pod, b"1")
    sys.stdout.write(f"{files} files made in {time.perf_counter() - began:.1f} s\n")
    costs = {}
    with ThreadPoolExecutor(1) as executor:
        other = executor.submit(store_other_session, session)
        costs["first pass"] = _pass(session, pod)
        assert other.result() == 1
    costs["pass without changes"] = _pass(session, pod)
    work(pod, b"2")
    costs["pass with new work"] = _pass(session, pod)
    _end(session, pod)
    costs["hydrate"] = _hydrated(session, files)
    return costs


def _end(session: Session, pod: MirrorPod) -> None:
    """End a sync that goes on as a pod does."""
    more = f"--termination-log={session.folder / 'termination'}"
    with session.start("sync", pod, "--flush-seconds=120", more) as running:
        running.until("too many files")
        running.process.terminate()
        assert running.ended().code == 0
    said = json.loads((session.folder / "termination").read_bytes())
    assert said["outcome"] == "flushed", said
    sys.stdout.write(f"ended in {said['seconds']} s: {said['reason']}\n")


def work(pod: MirrorPod, data: bytes) -> None:
    """Do what an agent is for."""
    for number in range(WORK):
        pod.write(f"work/src/{number}", data * number)


def store_other_session(session: Session) -> int:
    """Store another session of the same bucket; return its generation."""
    other, pod = session.other_session("team/other/"), session.pod("other")
    assert other.run("hydrate", pod).code == 0
    pod.write("theirs", b"x")
    assert other.run("sync", pod, "--once").code == 0
    return other.head().generation.number


def _pass(session: Session, pod: MirrorPod) -> Cost:
    return command(session.command("sync", pod, "--once"), log=session.folder / "log")


def _hydrated(session: Session, files: int) -> Cost:
    later = session.pod("later")
    cost = command(session.command("hydrate", later), log=session.folder / "log")
    found = sum(len(folders) + len(names) for _, folders, names in os.walk(later.root))
    everything = files + files // FOLDER + WORK + 3
    assert found == min(MAX_FILES, everything), found
    for number in range(WORK):
        assert (later.root / f"work/src/{number}").read_bytes() == b"2" * number
    return cost


if __name__ == "__main__":
    sys.exit(main())
