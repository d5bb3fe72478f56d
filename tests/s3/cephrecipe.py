"""Where Ceph's programs come from: Debian's packages, unpacked into the cache, not installed."""

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
# Of what these depend on, only libraries, plugins and radosgw-admin are needed.
NEEDED = re.compile(r"lib|ceph-(base|common|mon|osd)$|radosgw$")
ADVICE = "Run on Debian with apt's network, or leave these tests out with -m 'not s3'."


def programs() -> Path:
    """Return a folder that is laid out like `/`, with Ceph's programs and their libraries.

    Raises:
        S3ServerMissing: It cannot be had; the message says why.
    """
    inputs = (fetching.RELEASE, *PROGRAMS, NEEDED.pattern, platform.machine())
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    return build.made(f"ceph-{VERSION}-{digest[:12]}", cook, ADVICE)


def cook(work: Path, into: Path) -> None:
    """Fill `into` from the packages that this machine lacks, about 70 MB to fetch.

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
    _keep(work / "all", into)
    steps.say("done")


PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _keep(unpacked: Path, into: Path) -> None:
    (into / "bin").mkdir()
    for name in PROGRAMS:
        shutil.move(unpacked / "usr/bin" / name, into / "bin" / name)
    triplet = f"{platform.machine()}-linux-gnu"
    shutil.move(unpacked / "usr/lib" / triplet, into / "lib")
    # Libraries that Debian keeps at the root.
    for path in (unpacked / "lib" / triplet).glob("*"):
        shutil.move(path, into / "lib" / path.name)
