"""Finds the Debian mirrors in apt's configuration and writes a source file for one release.

Pure: takes the texts of apt's source files and returns the text of one deb822 file. No mirror is
named here, so that the build uses what the machine uses (a local mirror, a snapshot, a proxy).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

ROLLING = frozenset({"oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"})
# These fields are copied, or apt would refuse a snapshot or a local mirror.
VERIFICATION = ("signed-by", "trusted", "check-valid-until")


@dataclass(frozen=True, slots=True)
class Entry:
    """One source of packages, in either of apt's two formats.

    Attributes:
        uris: Addresses of mirrors, separated by blanks as apt reads them.
        suites: Releases, such as `bookworm`.
        components: Areas of the archive, such as `main`.
        options: Further fields by lower-case name.
    """

    uris: str
    suites: frozenset[str]
    components: frozenset[str]
    options: Mapping[str, str] = field(default_factory=dict)


def deb822_entries(text: str) -> Iterator[Entry]:
    """Read a `.sources` file, without stanzas that are disabled or have no binary packages."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", lines):
        fields = {
            name.lower(): value.strip()
            for name, value in re.findall(r"^([A-Za-z-]+):(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            yield Entry(
                uris=fields.get("uris", ""),
                suites=frozenset(fields.get("suites", "").split()),
                components=frozenset(fields.get("components", "").split()),
                options=fields,
            )


def one_line_entries(text: str) -> Iterator[Entry]:
    """Read a `.list` file's `deb [option=value …] uri suite component…` lines."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[(.*?)\]\s*)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)", line)
        if match:
            options, uri, suite, components = match.groups()
            pairs = (option.split("=", 1) for option in (options or "").split() if "=" in option)
            yield Entry(
                uris=uri,
                suites=frozenset({suite}),
                components=frozenset(components.split()),
                options={name.lower(): value for name, value in pairs},
            )


def is_debian(entry: Entry, codename: str) -> bool:
    """Return whether an entry is Debian's main archive, not a vendor's, security or backports."""
    signer = entry.options.get("signed-by", "")
    ours = not signer.startswith("/") or "debian-archive" in signer
    return ours and "main" in entry.components and bool(entry.suites & (ROLLING | {codename}))


def for_release(entries: Iterable[Entry], codename: str, release: str) -> str:
    """Return a deb822 file for packages and sources of `release` from the machine's Debian mirrors.

    Args:
        entries: All sources of the machine.
        codename: The machine's own release; a mirror that has it has `release` too.
        release: The requested release.

    Returns:
        One stanza per mirror; empty if the machine has no Debian mirror.
    """
    return "\n".join(_stanza(entry, release) for entry in entries if is_debian(entry, codename))


def _stanza(entry: Entry, release: str) -> str:
    fields = {"Types": "deb deb-src", "URIs": entry.uris, "Suites": release, "Components": "main"}
    copied = {name.title(): entry.options[name] for name in VERIFICATION if name in entry.options}
    return "".join(f"{name}: {value}\n" for name, value in {**fields, **copied}.items())
