"""Patterns of secrets in free text: the tokens of known vendors, and credentials in context.

Every pattern is linear: a run of characters is entered from one end only, or its length is bounded.
A cheap search for a literal precedes each, since nearly all text contains none of them.

`TOKEN_PATTERNS` recognises tokens by their prefix. Sources: the vendors' documentation, and the
public lists of secret scanners. Tokens without a recognisable format (bare hexadecimal, words,
UUIDs) are not included: digests and commits look the same.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from reconcile.core.mask.known_secrets import is_flag

TOKEN_PATTERNS: Final = (
    # Git forges and CI
    r"gh[opsru]_[A-Za-z0-9_]{10,}",
    r"github_pat_[A-Za-z0-9_]{10,}",
    r"gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{10,}",
    r"GR1348941[A-Za-z0-9_-]{16,}",
    r"AT(?:ATT3|CTT3)[A-Za-z0-9_=-]{20,}",
    r"ATBB[A-Za-z0-9]{24,}",
    r"CCIPAT_[A-Za-z0-9_]{20,}",
    # Clouds and hosting
    r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"AIza[A-Za-z0-9_-]{20,}",
    r"ya29\.[A-Za-z0-9_.-]{10,}",
    r"GOCSPX-[A-Za-z0-9_-]{10,}",
    r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,}",
    r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",
    r"do[opr]_v1_[a-f0-9]{32,}",
    r"v1\.0-[A-Za-z0-9]{24}-[A-Za-z0-9]{100,}",
    r"HRKU-[A-Za-z0-9_-]{20,}",
    r"f(?:m1r|m2|o1)_[A-Za-z0-9+/=_-]{40,}",
    r"vcp_[A-Za-z0-9]{24,}",
    r"nfp_[A-Za-z0-9]{30,}",
    r"sbp_[a-f0-9]{40}",
    r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{20,}",
    r"sha256~[A-Za-z0-9_-]{16,}",
    # Models
    r"sk-(?![a-z]{1,14}(?:-[a-z]{1,14})+(?![A-Za-z0-9_-]))[A-Za-z0-9_-]{16,}",
    r"hf_[A-Za-z0-9]{10,}",
    r"gsk_[A-Za-z0-9]{16,}",
    r"xai-[A-Za-z0-9]{40,}",
    r"pplx-[A-Za-z0-9]{32,}",
    r"r8_[A-Za-z0-9]{30,}",
    r"fw_[A-Za-z0-9]{22,}",
    r"tvly-[A-Za-z0-9-]{20,}",
    r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}",
    # Registries
    r"npm_[A-Za-z0-9]{10,}",
    r"pypi-[A-Za-z0-9_-]{16,}",
    r"rubygems_[a-f0-9]{32,}",
    r"cio[A-Za-z0-9]{32}(?![A-Za-z0-9])",
    r"dckr_[op]at_[A-Za-z0-9_-]{10,}",
    r"AKCp[A-Za-z0-9]{40,}",
    r"cmVmdGtuOj[A-Za-z0-9]{40,}",
    # Secret stores and infrastructure
    r"hv[bs]\.[A-Za-z0-9_-]{16,}",
    r"dp\.(?:audit|ct|pt|sa|scim|st)\.[A-Za-z0-9._-]{24,}",
    r"pul-[a-f0-9]{40}",
    r"atlasv1\.[A-Za-z0-9_-]{40,}",
    r"AGE-SECRET-KEY-1[A-Z0-9]{16,}",
    r"dapi[a-f0-9]{32}",
    # Monitoring
    r"gl(?:c|sa)_[A-Za-z0-9_+/=]{16,}",
    r"sntry[su]_[A-Za-z0-9+/=_-]{30,}",
    r"NRAK-[A-Za-z0-9]{20,}",
    r"dt0[a-z][0-9]{2}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{40,}",
    # Chat and issue tracking
    r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}",
    r"xapp-[A-Za-z0-9-]{10,}",
    r"(?:bot)?[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}",
    r"[MNO][A-Za-z0-9_-]{22,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
    r"SG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    r"key-[a-f0-9]{32}(?![A-Za-z0-9])",
    r"SK[a-f0-9]{32}(?![A-Za-z0-9])",
    r"lin_(?:api|oauth)_[A-Za-z0-9]{20,}",
    r"ntn_[A-Za-z0-9]{32,}",
    r"secret_[A-Za-z0-9]{43}(?![A-Za-z0-9_])",
    r"figd_[A-Za-z0-9_-]{30,}",
    r"PMAK-[A-Za-z0-9]{20,}-[A-Za-z0-9]{20,}",
    # Payment and commerce
    r"[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    r"whsec_[A-Za-z0-9+/=]{20,}",
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{24,}",
    r"sq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22,}",
    r"EAACEdEose0cBA[A-Za-z0-9]{10,}",
)
"""Patterns that match from the beginning of a token only."""


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """A secret from `start` to `end` of a text.

    If `is_certain`, the same text is a secret wherever else it appears.
    """

    start: int
    end: int
    is_certain: bool


WordRule: TypeAlias = Literal["certain", "unsure", "ordinary"]


@dataclass(frozen=True, slots=True)
class _SecretPattern:
    """A pattern whose groups are secrets.

    The pattern is tried only if the text contains one of the lower-case `literals`, or if there
    are none. `words` says what a single word of letters is: a secret like any other, one that is
    hidden here only (`https://bob@host`), or ordinary text (`?code=image`).
    """

    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    words: WordRule = "certain"


_STATUS_CODE: Final = re.compile(r"[1-5][0-9]{2}")
_WORD: Final = re.compile(r"[a-z]{1,15}(?:[-_.][a-z]{1,15}){0,3}", re.IGNORECASE)


def _build_pattern(
    literals: str, pattern: str, flags: re.RegexFlag = re.NOFLAG, *, words: WordRule = "certain"
) -> _SecretPattern:
    return _SecretPattern(tuple(literals.split()), re.compile(pattern, flags), words)


_PROSE_VALUE: Final = r"[\"'`]?(?=[^\s\"'`]{0,100}?\d)([^\s\"'`]{6,}+)"
"""A secret in prose: a word with a digit, since others are prose."""


def _build_prose_pattern(words: str, link: str) -> _SecretPattern:
    """A secret in prose that follows one of the `words` and the `link`: `the password is …`."""
    names = words.split()
    return _SecretPattern(
        tuple(names),
        re.compile(rf"\b(?:{'|'.join(names)}){link}\s{{1,4}}+{_PROSE_VALUE}", re.IGNORECASE),
    )


def _build_option_pattern(programs: str, option: str) -> _SecretPattern:
    """The value that an `option` gives to one of the `programs`."""
    names = programs.split()
    return _SecretPattern(
        tuple(names),
        re.compile(rf"\b(?:{'|'.join(names)})\s(?:[^\n|;]{{0,200}}?\s)??{option}"),
    )


_TOKEN: Final = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(TOKEN_PATTERNS)})")

_BOUNDED_WORD: Final = r"\S{1,200}+"

_SECRET_PATTERNS: Final = (
    # Nearly all text has a dot or a dash, so a literal would not save this search.
    _SecretPattern((), _TOKEN),
    _build_pattern("eyj", r"(eyJ[A-Za-z0-9_-]{9,}(?:\.++[A-Za-z0-9_-]++)*+)"),
    _build_pattern(
        "private",
        r"(-{4,5} ?BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY[A-Z0-9 ]{0,20}-{4,5}"
        r"(?:.*?-{4,5} ?END [A-Z0-9 ]{0,60}-{4,5}|.*))",
        re.DOTALL,
    ),
    _build_pattern("private-lines", r"Private-Lines: \d{1,3}+\r?\n((?:[A-Za-z0-9+/=]++\r?\n?+)++)"),
    _build_pattern(
        "bearer", r"\bbearer\s{1,8}+([^\s\"'<>,;]{6,}+)", re.IGNORECASE, words="ordinary"
    ),
    _build_pattern(
        "basic", r"\b[Bb]asic\s{1,8}+(?=[A-Za-z+/]{0,200}[0-9=])([A-Za-z0-9+/]{8,}={0,2})"
    ),
    _build_pattern("$", r"(?<![\w$])(\$(?:[156y]|2[abxy]|apr1|argon2id?|scrypt)\$[^\s\"']{12,})"),
    _build_pattern("@tcp( @unix(", r"(?<![\w.])[\w.-]{1,64}+:([^\s@]{1,256}+)@(?:tcp|unix)\("),
    _build_pattern("jdbc:oracle:", r"jdbc:oracle:[a-z]{1,8}:[^\s/:@]{1,64}+/([^\s@\"']{1,256}+)@"),
    _build_pattern(
        "authorization",
        r"\bauthorization[\"']?\s{0,4}+[:=]\s{0,4}+[\"']?([^\s\"'][^\r\n\"']*+)",
        re.IGNORECASE,
    ),
    _build_pattern(
        "aws secret",
        r"\b(?:aws|secret)[\w .:=\"'-]{0,40}?(?<![A-Za-z0-9/+=])"
        r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        re.IGNORECASE,
    ),
    _build_pattern("://", r"://([^\s/?#\":]*+:([^\s/?#\"]*))@"),
    _build_pattern("://", r"(?<!ssh)://(?!git@)([^\s/?#\":]+)@", words="unsure"),
    _build_pattern("://", r"://([^\s/?#\":@]{0,128}+:(?!\d{1,5}/)([^\s\"@]{1,256}+))@"),
    _build_pattern(
        "machine default",
        rf"\b(?:machine\s{{1,8}}+{_BOUNDED_WORD}|default)"
        rf"(?:\s{{1,8}}+(?:login|account)\s{{1,8}}+{_BOUNDED_WORD}){{0,2}}+\s{{1,8}}+password\s{{1,8}}+(\S++)",
    ),
    _build_option_pattern("sshpass 7z 7za 7zr", r"-p[ ]?([^\s-]\S*+)"),
    _build_option_pattern("redis-cli", r"-{1,2}(?:a|pass) ([^\s-]\S*+)"),
    _build_option_pattern(
        "ldapsearch ldapmodify ldapadd ldapdelete ldapwhoami", r"-w ?([^\s-]\S*+)"
    ),
    _build_option_pattern("sqlcmd bcp zip unzip", r"-P ?([^\s-]\S*+)"),
    _build_option_pattern("smbclient", r"(?:-U|--user)[ =]?[^\s%]{1,64}+%(\S++)"),
    _build_option_pattern("openssl", r"(?:-pass(?:in|out)? pass:|-k )([^\s-]\S*+)"),
    _build_pattern(
        "mysql mariadb",
        r"\b(?:mysql|mariadb)[a-z]{0,10}+\b[^\n|;]{0,200}?\s-p([^\s;|&-]\S*+)",
    ),
    _build_pattern(
        "login",
        r"\blogin\b[^\n|;]{0,200}?(?<!\S)-p[ =]{0,4}+[\"']?([^\s\"'-][^\s\"']*+)",
    ),
    _build_pattern(
        "-u --user",
        r"\b(?:curl|wget|https?)\s[^\n|;]{0,200}?(?<!\S)(?:-u|--user)[ =]{0,4}+[\"']?"
        r"[^\s:\"'/]{1,100}+:(?!//)([^\s\"']++)",
    ),
    _build_prose_pattern("password passwd passphrase passcode token secret key", " is"),
    _build_prose_pattern("password passwd passphrase passcode", r"(?: for [^\s:]{1,64}+[ :]?)?"),
    _build_pattern(
        "as",
        rf"(?<!\S){_PROSE_VALUE}[\"'`]? as (?:the |a |your |its )?pass(?:word|phrase)",
        re.IGNORECASE,
    ),
    _build_pattern(
        "credential",
        rf"\bcredentials?\s{{0,4}}+:\s{{0,4}}+[^\s/:]{{1,64}}+\s{{0,4}}+/\s{{0,4}}+{_PROSE_VALUE}",
        re.IGNORECASE,
    ),
    _build_pattern(
        "/webhooks/ /webhookb2/",
        r"/(?:webhooks/\d{1,30}+|webhookb2)/([^\s\"'<>]{20,}+)",
    ),
    _build_pattern("hooks.slack.com", r"hooks\.slack\.com/[a-z]{1,16}+/([A-Za-z0-9/_-]+)"),
    _build_pattern(
        "?sig= &sig= ?signature= &signature= ?key= &key= ?code= &code= -signature= -credential=",
        r"[?&](?:sig|signature|key|code|x-[a-z]{3,4}-(?:signature|credential))=([^\s&\"'<>#]+)",
        re.IGNORECASE,
        words="ordinary",
    ),
)
"""If a pattern has two groups, the inner one, the password, is a secret by itself."""


def find_tokens(text: str) -> Iterator[PatternMatch]:
    """Find text that has the format of a vendor's token."""
    for match in _TOKEN.finditer(text):
        yield PatternMatch(match.start(1), match.end(1), is_certain=True)


def find_secret_patterns(text: str) -> Iterator[PatternMatch]:
    """Find text that looks like a secret in any context."""
    lowered = text.lower()
    for candidate in _SECRET_PATTERNS:
        if not candidate.literals or any(each in lowered for each in candidate.literals):
            for match in candidate.pattern.finditer(text):
                for group, value in enumerate(match.groups(), 1):
                    if value and (rule := _classify_value(candidate, value)) != "ordinary":
                        is_certain = rule == "certain"
                        yield PatternMatch(match.start(group), match.end(group), is_certain)


def _classify_value(pattern: _SecretPattern, value: str) -> WordRule:
    if is_flag(value.rstrip(".,;:!?")) or (
        pattern.words == "ordinary" and _STATUS_CODE.fullmatch(value)
    ):
        return "ordinary"
    return pattern.words if _WORD.fullmatch(value) else "certain"
