"""Finds the binaries of the control plane: in the environment, in the cache, or by a build.

`assets()` tries in this order: the folder that `KUBEBUILDER_ASSETS` names (the convention of
controller-runtime's envtest), the cache `~/.cache/reconcile/controlplane-<key>/`, and a build from
Debian's source package, which happens once and takes about two minutes.
"""

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.controlplane import recipe
from tests.controlplane.errors import ControlPlaneError, ControlPlaneMissing

NEEDED = ("etcd", "kube-apiserver", "kubectl")
ADVICE = (
    "Set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver and kubectl "
    "(`setup-envtest use -p path` prints one), or run on Debian with network access for apt."
)


def assets() -> Path:
    """Return a folder with `etcd`, `kube-apiserver` and `kubectl`.

    It has a `kube-controller-manager` too, unless `KUBEBUILDER_ASSETS` names a folder without one.

    Raises:
        ControlPlaneMissing: They cannot be found or built; the message says why and what to set.
    """
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        return _checked(Path(named))
    return made(f"controlplane-{recipe.key()}", recipe.build_assets, ADVICE)


def current_kubectl() -> Path:
    """Return a current kubectl for comparisons; the server's own version is much slower.

    Raises:
        ControlPlaneMissing: It cannot be downloaded; the message says why.
    """
    name = f"kubectl-{recipe.KUBECTL_RELEASE}-{platform.machine()}"
    return made(name, recipe.fetch_kubectl, ADVICE) / "kubectl"


def made(name: str, make: Callable[[Path, Path], None], advice: str = ADVICE) -> Path:
    """Return a folder of the cache, which `make` fills if it does not exist.

    Args:
        name: The name of the folder, with everything that decides its content.
        make: Takes a work folder and the folder to fill.
        advice: What the user can do if `make` fails.

    Raises:
        ControlPlaneMissing: `make` failed.
    """
    ready = _cache() / name
    if not ready.exists():
        with _only_one(ready):
            if not ready.exists():
                _build(ready, make, advice)
    return ready


def _checked(folder: Path) -> Path:
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise ControlPlaneMissing(
            f"KUBEBUILDER_ASSETS={folder} has no {', '.join(missing)}. {ADVICE}"
        )
    return folder


def _cache() -> Path:
    return Path.home() / ".cache" / "reconcile"


@contextlib.contextmanager
def _only_one(ready: Path) -> Iterator[None]:
    ready.parent.mkdir(parents=True, exist_ok=True)
    with (ready.parent / f"{ready.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(ready: Path, make: Callable[[Path, Path], None], advice: str) -> None:
    with _scratch(ready.parent / f"{ready.name}.building") as work:
        result = work / "result"
        result.mkdir()
        try:
            make(work, result)
        except ControlPlaneError as failure:
            raise ControlPlaneMissing(f"cannot make {ready.name}: {failure}\n{advice}") from failure
        result.rename(ready)


@contextlib.contextmanager
def _scratch(work: Path) -> Iterator[Path]:
    shutil.rmtree(work, ignore_errors=True)  # a build that was killed could not clean up
    work.mkdir()
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
