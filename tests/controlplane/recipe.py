"""How Debian's own `kubernetes` source package becomes a control plane.

Nothing is installed and nobody needs to be root: packages are unpacked into one temporary folder.
The release is fixed, whatever Debian runs here: mirrors carry several, this one's Go builds this
one's source, and newer ones ship Kubernetes without the modules that it vendors.
"""

import hashlib
import platform
import shutil
from pathlib import Path

from tests.controlplane import compiling, fetching
from tests.controlplane.steps import Steps

PACKAGES = (
    f"golang-{compiling.GO}-go",
    f"golang-{compiling.GO}-src",
    "etcd-server",
    "kubernetes-client",
)

KUBECTL_RELEASE = "trixie"


def key() -> str:
    """Name what this recipe makes: the version, and a hash of all that decides the result."""
    inputs = (
        fetching.RELEASE,
        *PACKAGES,
        compiling.VERSION,
        compiling.TAGS,
        compiling.MAIN_GO.read_text(),
        platform.machine(),
    )
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()
    return f"{compiling.VERSION}-{digest[:12]}"


def cook(work: Path, into: Path) -> None:
    """Make the four binaries in `into`, using about 2 GB in `work`.

    Raises:
        ControlPlaneError: A step failed; with its command and the end of its log.
        ControlPlaneMissing: This machine has no Debian mirror.
    """
    steps = Steps(work)
    fetching.fetch(steps, packages=PACKAGES, sources=["kubernetes"])
    unpack(steps)
    compiling.compile_control_plane(steps, into)
    for name in ("etcd", "kubectl"):
        shutil.copy2(work / "usr/bin" / name, into / name)
    steps.say("done")


def fetch_kubectl(work: Path, into: Path) -> None:
    """Put a newer release's kubectl into `into`; nothing of it is installed.

    Raises:
        ControlPlaneError: A step failed; with its command and the end of its log.
        ControlPlaneMissing: This machine has no Debian mirror.
    """
    steps = Steps(work)
    fetching.fetch(steps, packages=[f"kubectl/{KUBECTL_RELEASE}"], release=KUBECTL_RELEASE)
    [package] = work.glob("*.deb")
    steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(work)])
    shutil.copy2(work / "usr/bin/kubectl", into / "kubectl")


def unpack(steps: Steps) -> None:
    """Lay out the packages in the work folder and the source where Go looks for it."""
    for package in sorted(steps.work.glob("*.deb")):
        steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(steps.work)])
    [tarball] = steps.work.glob("kubernetes_*.orig.tar.*")
    source = compiling.source(steps.work)
    source.mkdir(parents=True)
    command = ["tar", "-xf", str(tarball), "--strip-components=1", "-C", str(source)]
    steps.run(f"unpack {tarball.name}", command)
