"""Unpacks Ceph from Debian's packages into the cache, without installing it."""

import hashlib
import platform
import re
import shutil
from pathlib import Path

from tests.controlplane import build, fetching, processes
from tests.controlplane.steps import Steps

VERSION = "16.2.15"
WANTED = ("ceph-common", "ceph-mon", "ceph-osd", "radosgw")
PROGRAMS = ("ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
# Of their dependencies, only libraries, plugins and radosgw-admin are needed.
NEEDED = re.compile(r"lib|ceph-(base|common|mon|osd)$|radosgw$")
ADVICE = "Run on Debian with network access for apt, or skip these tests with -m 'not s3'."


def programs() -> Path:
    """Return a folder with Ceph's executables in `bin` and their libraries in `lib`.

    Raises:
        S3ServerMissing: It cannot be downloaded; the message says why.
    """
    inputs = (fetching.RELEASE, *PROGRAMS, NEEDED.pattern, platform.machine())
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    return build.made(f"ceph-{VERSION}-{digest[:12]}", unpack_ceph, ADVICE)


def unpack_ceph(work: Path, into: Path) -> None:
    """Fill `into` from the packages that this machine lacks; downloads about 70 MB.

    Raises:
        S3ServerError: A step failed; with its command and the end of its log.
        S3ServerMissing: This machine has no Debian mirror.
    """
    steps = Steps(work, "ceph")
    apt = fetching.prepared(steps)
    plan = processes.output(
        [*apt, "install", "--simulate", "--no-install-recommends", *WANTED], env={"PATH": PATH}
    )
    packages = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    chosen = sorted(filter(NEEDED.match, packages))
    steps.run(f"fetch {' '.join(chosen)}", [*apt, "download", *chosen])
    steps.say("unpack")
    for package in sorted(work.glob("*.deb")):
        log = work / "steps.log"
        processes.run(
            ["dpkg", "-x", str(package), str(work / "all")], log=log, cwd=work, env={"PATH": PATH}
        )
    _move_needed(work / "all", into)
    steps.say("done")


PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _move_needed(unpacked: Path, into: Path) -> None:
    (into / "bin").mkdir()
    for name in PROGRAMS:
        shutil.move(unpacked / "usr/bin" / name, into / "bin" / name)
    triplet = f"{platform.machine()}-linux-gnu"
    shutil.move(unpacked / "usr/lib" / triplet, into / "lib")
    # Debian has some libraries in /lib.
    for path in (unpacked / "lib" / triplet).glob("*"):
        shutil.move(path, into / "lib" / path.name)
