"""Secrets in free text that give themselves away by their shape.

Every pattern is linear: a run of characters is entered from one end only, or its length is bounded.
A cheap look for a literal goes before each, since nearly all text holds none of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


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
    """A pattern whose groups are secrets; where none of the lower-case `literals` is, no hit."""

    literals: tuple[str, ...]
    pattern: re.Pattern[str]


def _shape(literals: str, pattern: str, flags: re.RegexFlag = re.NOFLAG) -> _Shape:
    return _Shape(tuple(literals.split()), re.compile(pattern, flags))


_PREFIXED: Final = (
    r"gh[opsru]_[A-Za-z0-9_]{10,}",
    r"github_pat_[A-Za-z0-9_]{10,}",
    r"gl(?:agent|cbt|dt|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{10,}",
    r"xox[a-z]-[A-Za-z0-9-]{8,}",
    r"xapp-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"AIza[A-Za-z0-9_-]{20,}",
    r"ya29\.[A-Za-z0-9_.-]{10,}",
    r"GOCSPX-[A-Za-z0-9_-]{10,}",
    r"sk-[A-Za-z0-9_-]{16,}",
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"npm_[A-Za-z0-9]{10,}",
    r"pypi-[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{10,}",
    r"gsk_[A-Za-z0-9]{16,}",
    r"dckr_pat_[A-Za-z0-9_-]{10,}",
    r"glsa_[A-Za-z0-9_]{16,}",
    r"hv[bs]\.[A-Za-z0-9_-]{16,}",
    r"sha256~[A-Za-z0-9_-]{16,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{16,}",
    r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)

_SHAPES: Final = (
    _shape(
        "gh github_pat_ gl xox xapp- akia asia aiza ya29. gocspx- sk- k_live_ k_test_ npm_ pypi- "
        "hf_ gsk_ dckr_pat_ hvb. hvs. sha256~ age-secret-key sg.",
        rf"(?<![A-Za-z0-9])({'|'.join(_PREFIXED)})",
    ),
    _shape("eyj", r"(eyJ[A-Za-z0-9_-]{9,}(?:\.++[A-Za-z0-9_-]++)*+)"),
    _shape(
        "private",
        r"(-----BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY[A-Z0-9 ]{0,20}-----"
        r"(?:.*?-----END [A-Z0-9 ]{0,60}-----|.*))",
        re.DOTALL,
    ),
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
        if any(literal in lowered for literal in shape.literals):
            for match in shape.pattern.finditer(text):
                for group, value in enumerate(match.groups(), 1):
                    if value:
                        yield Hit(match.start(group), match.end(group), certain=True)
