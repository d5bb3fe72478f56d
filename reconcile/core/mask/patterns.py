"""Secrets in free text that give themselves away by their shape.

Every pattern is linear: a run of characters is entered from one end only, or its length is bounded.
A cheap look for a literal goes before each, since nearly all text holds none of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from reconcile.core.mask.tokens import PREFIXED


@dataclass(frozen=True, slots=True)
class Hit:
    """A secret from `start` to `end` of a text.

    `certain` tells that the same text is a secret wherever else it is found.
    """

    start: int
    end: int
    certain: bool


@dataclass(frozen=True, slots=True)
class _Shape:
    """A pattern whose groups are secrets.

    Where none of the lower-case `literals` is, there is no hit; without any it is always tried.
    """

    literals: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(literals: str, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> _Shape:
    return _Shape(tuple(literals.split()), re.compile(pattern, flags))


def _said(words: str) -> _Shape:
    """A secret in prose, `the password is …`: a word with a digit, or it would be prose itself."""
    names = words.split()
    return _Shape(
        tuple(f"{name} is" for name in names),
        re.compile(
            rf"\b(?:{'|'.join(names)}) is\s{{1,4}}+[\"'`]?"
            r"(?=[^\s\"'`]{0,100}?\d)([^\s\"'`]{6,}+)",
            re.IGNORECASE,
        ),
    )


_WORD: Final = r"\S{1,200}+"

_SHAPES: Final = (
    # Nearly all text has a point or a dash: no literal spares this search.
    _shape("", rf"(?<![A-Za-z0-9])({'|'.join(PREFIXED)})"),
    _shape("eyj", r"(eyJ[A-Za-z0-9_-]{9,}(?:\.++[A-Za-z0-9_-]++)*+)"),
    _shape(
        "private",
        r"(-----BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY[A-Z0-9 ]{0,20}-----"
        r"(?:.*?-----END [A-Z0-9 ]{0,60}-----|.*))",
        re.DOTALL,
    ),
    _shape("private-lines", r"Private-Lines: \d{1,3}+\r?\n((?:[A-Za-z0-9+/=]++\r?\n?+)++)"),
    _shape("bearer", r"\bbearer\s{1,8}+([^\s\"'<>,;]{6,}+)", re.IGNORECASE),
    _shape(
        "authorization",
        r"\bauthorization[\"']?\s{0,4}+[:=]\s{0,4}+[\"']?([^\s\"'][^\r\n\"']*+)",
        re.IGNORECASE,
    ),
    _shape(
        "aws secret",
        r"\b(?:aws|secret)[\w .:=\"'-]{0,40}?(?<![A-Za-z0-9/+=])"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        re.IGNORECASE,
    ),
    _shape("://", r"://([^\s/?#\":]*+:([^\s/?#\"]*))@"),
    _shape("://", r"(?<!ssh)://(?!git@)([^\s/?#\":]+)@"),
    _shape("://", r"://([^\s/?#\":@]{0,128}+:(?!\d{1,5}/)([^\s\"@]{1,256}+))@"),
    _shape(
        "machine",
        rf"\bmachine\s{{1,8}}+{_WORD}\s{{1,8}}+login\s{{1,8}}+{_WORD}\s{{1,8}}+password\s{{1,8}}+(\S++)",
    ),
    _shape("sshpass", r"\bsshpass\s{1,8}+-p\s{0,8}+([^\s-]\S*+)"),
    _shape(
        "mysql mariadb",
        r"\b(?:mysql|mariadb)[a-z]{0,10}+\b[^\n|;]{0,200}?\s-p([^\s;|&-]\S*+)",
    ),
    _shape(
        "-u --user",
        r"\b(?:curl|wget|https?)\s[^\n|;]{0,200}?(?<!\S)(?:-u|--user)[ =]{0,4}+[\"']?"
        r"[^\s:\"'/]{1,100}+:([^\s\"']++)",
    ),
    _said("password passwd passphrase passcode token secret key"),
    _shape(
        "/webhooks/ /webhookb2/",
        r"/(?:webhooks/\d{1,30}+|webhookb2)/([^\s\"'<>]{20,}+)",
    ),
    _shape("hooks.slack.com", r"hooks\.slack\.com/[a-z]{1,16}+/([A-Za-z0-9/_-]+)"),
    _shape(
        "?sig= &sig= ?signature= &signature= ?key= &key= ?code= &code= -signature= -credential=",
        r"[?&](?:sig|signature|key|code|x-[a-z]{3,4}-(?:signature|credential))=([^\s&\"'<>#]+)",
        re.IGNORECASE,
    ),
)
"""With two groups the inner one, the password, is a secret of its own."""


def shaped(text: str) -> Iterator[Hit]:
    """Find what looks like a secret wherever it stands."""
    lowered = text.lower()
    for shape in _SHAPES:
        if not shape.literals or any(literal in lowered for literal in shape.literals):
            for match in shape.pattern.finditer(text):
                for group, value in enumerate(match.groups(), 1):
                    if value:
                        yield Hit(match.start(group), match.end(group), certain=True)
