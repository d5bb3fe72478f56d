"""Compiles the control plane from the unpacked source, as one binary with two names.

In GOPATH mode, since Debian's source package is not the module graph that its `go.mod` describes.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.controlplane.steps import Steps

GO = "1.19"
VERSION = "1.20.2"
TAGS = "providerless,dockerless"
MAIN_GO = Path(__file__).parent / "go" / "main.go"
TREE = "k8s.io/kubernetes"
OPENAPI = "pkg/generated/openapi"
OPENAPI_MARKER = b"+k8s:openapi-gen="
# The folders of marked packages, and their paths for Go.
OPENAPI_AREAS = {
    "pkg": "pkg",
    "cmd": "cmd",
    "plugin": "plugin",
    "staging/src/k8s.io": "vendor/k8s.io",
}
# Their types are not part of the server's API.
OPENAPI_SKIPPED = {"code-generator", "sample-apiserver"}


def source(work: Path) -> Path:
    """Return the folder of the source tree in the work folder."""
    return work / "gopath" / "src" / TREE


def compile_control_plane(steps: Steps, into: Path) -> None:
    """Build `kube-apiserver` and `kube-controller-manager` in `into`.

    Raises:
        ControlPlaneError: A step failed; with its command and the end of its log.
    """
    _generate_openapi(steps)
    package = source(steps.work) / "cmd" / "controlplane"
    package.mkdir()
    shutil.copy(MAIN_GO, package)
    binary = into / "kube-apiserver"
    flags = ["-trimpath", f"-tags={TAGS}", f"-ldflags={_link_flags()}", f"-o={binary}"]
    _go(steps, "build kube-apiserver, kube-controller-manager", *flags, f"{TREE}/cmd/controlplane")
    (into / "kube-controller-manager").hardlink_to(binary)


def _generate_openapi(steps: Steps) -> None:
    """Generate the one file that the source package does not contain."""
    tree, generator = source(steps.work), steps.work / "openapi-gen"
    package = f"{TREE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen"
    _go(steps, "build openapi-gen", f"-o={generator}", package)
    command = [
        str(generator),
        f"--input-dirs={','.join(sorted(set(_marked_packages(tree))))}",
        f"--output-base={steps.work / 'gopath' / 'src'}",
        f"--output-package={TREE}/{OPENAPI}",
        "--output-file-base=zz_generated.openapi",
        f"--go-header-file={tree / 'hack/boilerplate/boilerplate.generatego.txt'}",
        f"--report-filename={steps.work / 'openapi-violations'}",
    ]
    steps.run("generate openapi", command, cwd=tree, env=_environment(steps.work))


def _marked_packages(tree: Path) -> Iterator[str]:
    for area, seen_as in OPENAPI_AREAS.items():
        for path in (tree / area).rglob("*.go"):
            package = path.parent.relative_to(tree / area)
            skipped = OPENAPI_SKIPPED.intersection(package.parts[:1])
            if not skipped and OPENAPI_MARKER in path.read_bytes():
                yield f"{TREE}/{seen_as}/{package}"


def _link_flags() -> str:
    major, minor, _ = VERSION.split(".")
    values = {
        "gitVersion": f"v{VERSION}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "archive",
        "gitCommit": "debian",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    stamps = [
        f"-X {TREE}/vendor/k8s.io/{package}.{name}={value}"
        for package in ("component-base/version", "client-go/pkg/version")
        for name, value in values.items()
    ]
    return " ".join(["-s", "-w", *stamps])


def _go(steps: Steps, title: str, *arguments: str) -> None:
    go = _goroot(steps.work) / "bin" / "go"
    command = [str(go), "build", *arguments]
    steps.run(title, command, cwd=source(steps.work), env=_environment(steps.work))


def _goroot(work: Path) -> Path:
    return work / "usr/lib" / f"go-{GO}"


def _environment(work: Path) -> Mapping[str, str]:
    return {
        "PATH": f"{_goroot(work) / 'bin'}:{os.defpath}",
        "HOME": str(work),
        "GOROOT": str(_goroot(work)),
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOTMPDIR": str(work),
        "GO111MODULE": "off",
        "CGO_ENABLED": "0",
        # Less garbage collection makes the compiler faster and needs more memory.
        "GOGC": "400",
    }
