"""Debian's mirrors are found in both of apt's formats; other repositories are ignored."""

import pytest

from tests.controlplane.aptsources import deb822_entries, for_release, one_line_entries

DEB822 = """\
# A comment.
Types: deb
URIs: https://mirror.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Types: deb
URIs: https://mirror.example/debian-security
Suites: trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp

Enabled: no
Types: deb
URIs: https://off.example/debian
Suites: trixie
Components: main

Types: deb
URIs: https://vendor.example/apt
Suites: trixie
Components: main
Signed-By: /etc/apt/keyrings/vendor.gpg
"""

ONE_LINE = """\
# deb https://comment.example/debian trixie main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
https://mirror.example/debian trixie main contrib # ours
deb-src https://sources.example/debian trixie main
deb https://vendor.example/apt trixie stable
deb [signed-by=/etc/apt/keyrings/vendor.gpg] https://vendor.example/apt trixie main
"""


def test_a_sources_file_gives_its_debian_mirror_with_sources_and_the_fixed_release() -> None:
    assert for_release(deb822_entries(DEB822), "trixie", "bookworm") == (
        "Types: deb deb-src\n"
        "URIs: https://mirror.example/debian\n"
        "Suites: bookworm\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.pgp\n"
    )


def test_a_list_file_gives_its_debian_mirror_with_sources_and_the_fixed_release() -> None:
    assert for_release(one_line_entries(ONE_LINE), "trixie", "bookworm") == (
        "Types: deb deb-src\n"
        "URIs: https://mirror.example/debian\n"
        "Suites: bookworm\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


@pytest.mark.parametrize("suite", ["stable", "testing", "unstable", "sid"])
def test_a_rolling_name_is_debian_too(suite: str) -> None:
    line = f"deb file:///srv/mirror {suite} main"
    assert "URIs: file:///srv/mirror\n" in for_release(one_line_entries(line), "", "bookworm")


def test_a_key_inside_the_file_comes_along_with_its_lines() -> None:
    stanza = (
        "Types: deb\nURIs: file:///srv/mirror\nSuites: sid\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
    )
    key = "Signed-By: -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
    assert for_release(deb822_entries(stanza), "", "bookworm").endswith(key)


def test_several_mirrors_are_separate_stanzas() -> None:
    lines = "deb file:///one sid main\ndeb file:///two sid main\n"
    stanzas = for_release(one_line_entries(lines), "", "bookworm").split("\n\n")
    assert [stanza.splitlines()[1] for stanza in stanzas] == [
        "URIs: file:///one",
        "URIs: file:///two",
    ]


def test_a_machine_without_a_debian_mirror_gives_nothing() -> None:
    assert for_release(one_line_entries("deb file:///srv jammy main"), "jammy-x", "bookworm") == ""
