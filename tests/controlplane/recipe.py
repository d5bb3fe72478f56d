"""Builds a control plane from Debian's `kubernetes` source package.

Nothing is installed and no root is needed: packages are unpacked into one temporary folder. The
Debian release is fixed: its Go version can compile its Kubernetes source, and newer releases ship
Kubernetes without the vendored modules. Mirrors have several releases.
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
    "golang-github-modern-go-reflect2-dev",
    "kubernetes-client",
)
REFLECT2 = "github.com/modern-go/reflect2"
"""The vendored version is older than Go 1.18: a server with it crashes when it iterates over maps,
which it does for webhooks, CRDs and patches of a pod's status."""

KUBECTL_RELEASE = "trixie"


def key() -> str:
    """Return the cache key of the result: the version, and a hash of all inputs."""
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


def build_assets(work: Path, into: Path) -> None:
    """Build the four binaries in `into`, with about 2 GB of files in `work`.

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
    """Put the kubectl of a newer release into `into`, without installing it.

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
    """Unpack the packages into the work folder, and the source into the GOPATH."""
    for package in sorted(steps.work.glob("*.deb")):
        steps.run(f"unpack {package.name}", ["dpkg", "-x", str(package), str(steps.work)])
    [tarball] = steps.work.glob("kubernetes_*.orig.tar.*")
    source = compiling.source(steps.work)
    source.mkdir(parents=True)
    command = ["tar", "-xf", str(tarball), "--strip-components=1", "-C", str(source)]
    steps.run(f"unpack {tarball.name}", command)
    vendored = source / "vendor" / REFLECT2
    shutil.rmtree(vendored)
    shutil.copytree(steps.work / "usr/share/gocode/src" / REFLECT2, vendored)
