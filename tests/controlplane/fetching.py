"""Downloads packages and sources with apt from the machine's Debian mirrors into private folders.

apt verifies the downloads with the archive's keys as usual. The system's own lists, caches and
installed packages do not change.
"""

import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.controlplane import aptsources
from tests.controlplane.errors import ControlPlaneMissing
from tests.controlplane.steps import Steps

RELEASE = "bookworm"


def fetch(
    steps: Steps, *, packages: Sequence[str], sources: Sequence[str] = (), release: str = RELEASE
) -> None:
    """Download binary and source packages into the work folder.

    Raises:
        ControlPlaneMissing: This machine has no Debian mirror.
        ControlPlaneError: A download failed; with its command and the end of its log.
    """
    apt = prepared(steps, release)
    for source in sources:
        steps.run(f"fetch source {source}", [*apt, "source", "--download-only", source])
    steps.run(f"fetch {' '.join(packages)}", [*apt, "download", *packages])


def prepared(steps: Steps, release: str = RELEASE) -> Sequence[str]:
    """Fetch a release's package lists and return the command of an apt that uses only these."""
    work = steps.work
    for folder in ("lists/partial", "cache/archives/partial", "sources"):
        (work / folder).mkdir(parents=True)
    (work / "sources" / "debian.sources").write_text(_sources(release))
    apt = ["apt-get", "-q", *_options(work)]
    steps.run("fetch package lists", [*apt, "update"])
    return apt


def _options(work: Path) -> list[str]:
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": str(work / "sources"),
        "Dir::State::lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        # As root, apt would otherwise switch to a user that cannot write here.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def _sources(release: str) -> str:
    system = platform.freedesktop_os_release()
    codename = system.get("VERSION_CODENAME", "")
    text = aptsources.for_release(_entries(Path("/etc/apt")), codename, release)
    if system.get("ID") != "debian" or not text:
        raise ControlPlaneMissing(
            "the build needs Debian and a Debian mirror among apt's sources; this is "
            f"{system['PRETTY_NAME']}"
        )
    return text


def _entries(folder: Path) -> Iterator[aptsources.Entry]:
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        yield from aptsources.deb822_entries(path.read_text())
    for path in [*folder.glob("sources.list"), *sorted(folder.glob("sources.list.d/*.list"))]:
        yield from aptsources.one_line_entries(path.read_text())
