"""Where the binaries of the control plane come from: the environment, the cache, or a build.

`assets()` looks in this order: the folder that `KUBEBUILDER_ASSETS` names (the convention of
controller-runtime's envtest), the cache `~/.cache/reconcile/controlplane-<key>/`, and a build from
Debian's source package, once, about two minutes.
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
    "(`setup-envtest use -p path` prints one), or run on Debian with apt's network."
)


def assets() -> Path:
    """Return a folder with `etcd`, `kube-apiserver` and `kubectl`.

    There is a `kube-controller-manager` too, unless `KUBEBUILDER_ASSETS` names a folder without.

    Raises:
        ControlPlaneMissing: No route leads there; the message says why and what to set.
    """
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if named:
        return _checked(Path(named))
    return made(f"controlplane-{recipe.key()}", recipe.cook, ADVICE)


def current_kubectl() -> Path:
    """Return a kubectl of today, for comparisons: that of the server's age is far slower.

    Raises:
        ControlPlaneMissing: It cannot be had; the message says why.
    """
    name = f"kubectl-{recipe.KUBECTL_RELEASE}-{platform.machine()}"
    return made(name, recipe.fetch_kubectl, ADVICE) / "kubectl"


def made(name: str, make: Callable[[Path, Path], None], advice: str = ADVICE) -> Path:
    """Return a folder of the cache, which `make` fills if it is not there yet.

    Args:
        name: Names the folder and all that decides what is in it.
        make: Takes a work folder and the folder to fill.
        advice: What to do where that fails.

    Raises:
        ControlPlaneMissing: It failed.
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
