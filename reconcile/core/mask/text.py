"""Finds secrets in free text and replaces them by marks.

Besides known values and patterns, these are the values that are assigned to a secret name:
`API_TOKEN=…`, `"password": "…"`, `--token …`.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from reconcile.core.mask.known_secrets import (
    NameClass,
    SecretMatch,
    SecretNameMatcher,
    SecretRegistry,
    build_secret_name_matcher,
    build_word_set,
    find_marks,
    is_ordinary_value,
    is_reference_name,
)
from reconcile.core.mask.patterns import PatternMatch, find_secret_patterns

_NAME: Final = r"(?P<name>[A-Za-z_.][A-Za-z0-9_./-]{0,99})"

_ASSIGNED: Final = re.compile(
    rf"(?P<first>^[ \t]*+(?:-[ \t]++)?+)?(?<![A-Za-z0-9_./-])(?:--?)?+{_NAME}"
    r"(?P<sign>\\?[\"'`]?\]?\*{0,2}[ \t]{0,8}+[:=]{1,3}+>?\*{0,2}[ \t]{0,8}+)",
    re.MULTILINE,
)
_OPTION: Final = re.compile(rf"(?<![A-Za-z0-9_./-])--?{_NAME}[ \t]{{1,8}}+(?!-)")
_ENTRY: Final = re.compile(
    rf"\b(?:name|key)\\?[\"']?\s{{0,8}}+[:=]\s{{0,8}}+\\?[\"']?{_NAME}\\?[\"']?\s{{0,8}}+,?\s{{0,80}}+"
    r"\\?[\"']?value\\?[\"']?\s{0,8}+[:=]\s{0,8}+"
)
"""A backslash precedes a quote if JSON is embedded in JSON."""

_SET: Final = re.compile(
    rf"\b(?:setenv|set[ \t]{{1,8}}+-[A-Za-z]{{1,9}}+)[ \t]{{1,8}}+{_NAME}[ \t]{{1,8}}+"
)
_ELEMENT: Final = re.compile(rf"<{_NAME}(?:\s[^<>]{{0,200}}+)?>(?=[^<\s])")

_END: Final = r"(?:\n|\\n)"
"""The end of a line, also of one in a JSON document."""

_VALUE: Final = re.compile(
    r"(?:\\?\"){3}((?:[^\"\\]|\\(?!\"))++)"
    r"|\\\"((?:[^\\\n]|\\(?!\"))*+)"
    r"|\"((?:[^\"\\\n]|\\.)*+)"
    r"|'([^'\n]*+)"
    r"|([|>][+0-9-]{0,2}[ \t]*+(?:\n++[ \t]++[^\n]*+)++)"
    rf"|((?:{_END}[ \t]*+-[ \t]++[^\s:\\]++(?={_END}|\Z))++)"
    rf"|({_END}[ \t]++(?:[\w.-]{{1,60}}+:[ \t]++)?+[^\s:\\]++(?={_END}|\Z))"
    r"|(\[[ \t]*+\\?[\"'][^\]\n]*+\]?|\{[ \t]*+\\?\"[^}\n]*+\}?)"
    r"|([^\s\"'&,;)\]}]++)"
)
"""A quoted text, a YAML block with its indented lines, a list or one value below the name, a list
or map as in JSON, or a bare word."""

_ELEMENT_VALUE: Final = re.compile(r"([^<]++)")

_NO_VALUE: Final = build_word_set(
    "true false null none yes no on off duplicate forbidden invalid not required too "
    "unauthorized unsupported is was are | > a an the this that bool bytes int str string undefined"
)
"""Words that follow a name and a colon in an error message, a switch, prose or a program."""

_CODE: Final = re.compile(r"[A-Za-z_][A-Za-z_.]{0,99}[(\[].*|\d{1,3}")
"""A call or a subscript, `token = load_token(path)`, or a small number, `tests pass: 12`."""

_PROSE: Final = build_word_set("auth cookie cookies credential credentials")
"""Words that can precede a colon in prose without an assignment."""


def find_assignments(text: str, is_secret: SecretNameMatcher) -> Iterator[PatternMatch]:
    """Find the values that `text` assigns to secret names.

    The matches are guesses (prose has colons too), so none is certain.
    """
    for pattern in _select_patterns(text):
        done = 0
        for match in pattern.finditer(text):
            # A value is searched once: `token=token=…` would take quadratic time otherwise.
            if match.start() >= done and _names_secret(match, is_secret):
                for hit in _match_value(text, match.end(), element=pattern is _ELEMENT):
                    done = hit.end
                    if not is_ordinary_value(text[hit.start : hit.end], NameClass.SECRET):
                        yield hit


def _select_patterns(text: str) -> Iterator[re.Pattern[str]]:
    if "=" in text or ":" in text:
        yield _ASSIGNED
    if "-" in text and " " in text:
        yield _OPTION
    if "value" in text and ("name" in text or "key" in text):
        yield _ENTRY
    if "set" in text:
        yield _SET
    if "</" in text:
        yield _ELEMENT


def _names_secret(match: re.Match[str], is_secret: SecretNameMatcher) -> bool:
    # The part before a dot says where the name is from: a file, or a section of a file.
    name = match["name"].rpartition(".")[2]
    if not is_secret(name) or is_reference_name(name):
        return False
    sign = match.groupdict().get("sign") or "="
    return not sign.startswith(":") or _is_key(match)


def _is_key(match: re.Match[str]) -> bool:
    """Distinguish a YAML key or a header from words before a colon: `Pod team/fix-auth: …`."""
    name = match["name"]
    domain, slash, _ = name.partition("/")
    if slash and "." not in domain:
        return False
    is_hyphenated = "-" in name and name.islower()
    if match["first"] is not None:
        # YAML requires a space after the colon; without one it is a host with its port.
        return not (is_hyphenated and match["sign"] == ":")
    return name.lower() not in _PROSE and not is_hyphenated


def _match_value(text: str, start: int, *, element: bool) -> Iterator[PatternMatch]:
    match = (_ELEMENT_VALUE if element else _VALUE).match(text, start)
    if match is None or match.lastindex is None:
        return
    group = match.lastindex
    if match[group] and not _is_no_value(match[group], is_bare=group == _VALUE.groups):
        yield PatternMatch(match.start(group), match.end(group), is_certain=False)


def _is_no_value(value: str, *, is_bare: bool) -> bool:
    is_code = is_bare and _CODE.fullmatch(value) is not None
    return is_code or value.lower().rstrip(":") in _NO_VALUE


SecretFinder: TypeAlias = Callable[[str], tuple[PatternMatch, ...]]

_MAX_CACHED_LENGTH: Final = 256
_Span: TypeAlias = tuple[int, int]


def build_secret_finder(is_secret: SecretNameMatcher) -> SecretFinder:
    """Build the search for text that looks like a secret or is assigned to a secret name.

    The results for short texts are cached, since many objects have the same ones.
    """

    def find(text: str) -> tuple[PatternMatch, ...]:
        return (*find_secret_patterns(text), *find_assignments(text, is_secret))

    cached = lru_cache(maxsize=8192)(find)
    return lambda text: cached(text) if len(text) <= _MAX_CACHED_LENGTH else find(text)


_HINTS: Final = (
    *("pass", "pwd", "secret:", "secret=", "secret ", 'secret"', "secret'", "secret_", "secrets:"),
    *(
        "secrets=",
        "token",
        "key:",
        "key=",
        'key"',
        "key'",
        "key ",
        "_key",
        "-key",
        "apikey",
        "auth",
    ),
    *("cred", "cookie", "dsn", "jwt", "hmac", "mnemonic", "macaroon", "netrc", "salt", "pepper"),
    *("otp", "_pat", "-pat", "pat:", "pat=", "_pin", "-pin", "pin:", "_pw", "pw:", "pw=", "_sk"),
    *(
        "psk",
        "_code",
        "recoverycode",
        "backupcode",
        "seed",
        "community",
        "rsa",
        "dockerc",
        "kennwort",
        "connection",
        "conn_str",
    ),
    *("private", "bearer", "basic", "jdbc:", "@", "-p", "-a", "-w", "-k", "--user", "-u", "$"),
    *("hooks", "?sig", "&sig", "signature", "credential"),
)
"""Each context in which a secret is found has one of these; a search for them is cheap."""


def _longest_literal(glob: str) -> str:
    return max(re.split(r"[*?]", glob.lower()), key=len)


_BETWEEN_WORDS: Final = re.compile(r"[\s\"',\[\]]+(?:- )?")


def build_file_test(globs: Iterable[str]) -> Callable[[str], bool]:
    """Build the test whether the text of a file may declare a secret; in doubt, it may.

    A list of a command's words is read as the command, too. What is recognised by its format alone
    does not count, since it is hidden wherever it appears.
    """
    globs = tuple(globs)
    hints = (*_HINTS, *map(_longest_literal, globs))
    is_secret = build_secret_name_matcher(globs)
    find = build_secret_finder(is_secret)

    def may_declare(text: str) -> bool:
        lowered = text.lower()
        if not any(hint in lowered for hint in hints):
            return False
        has_command = "args" in text or "command" in text
        return bool(find(text) or (has_command and find(_BETWEEN_WORDS.sub(" ", text))))

    return may_declare


def replace_secrets(text: str, registry: SecretRegistry, find: SecretFinder) -> str:
    """Replace all that is known or looks like a secret; existing marks are kept."""
    return replace_matches(text, registry.find_secrets(text), find(text), registry)


def replace_matches(
    text: str, known: Iterable[SecretMatch], hits: Iterable[PatternMatch], registry: SecretRegistry
) -> str:
    """Replace the known values and the hits of patterns; existing marks are kept."""
    matches = [*known, *_to_secret_matches(text, registry, hits)]
    if not matches:
        return text
    marks = find_marks(text)
    outside = [item for item in matches if not _is_within(item, marks)]
    touched = {span for item in outside for span in _overlapping_marks(item, marks)}
    # A mark that overlaps a match is replaced with it, so that no half mark remains.
    whole = [SecretMatch(start, end, text[start:end]) for start, end in touched]
    return _replace_groups(text, _group_overlaps([*outside, *whole]), registry)


def _to_secret_matches(
    text: str, registry: SecretRegistry, hits: Iterable[PatternMatch]
) -> list[SecretMatch]:
    return [
        SecretMatch(hit.start, hit.end, registry.original_value(text[hit.start : hit.end]))
        for hit in hits
    ]


def _overlapping_marks(item: SecretMatch, marks: list[_Span]) -> list[_Span]:
    first = bisect_right(marks, item.start, key=lambda span: span[1])
    return marks[first : bisect_left(marks, item.end, key=lambda span: span[0])]


def _is_within(item: SecretMatch, marks: list[_Span]) -> bool:
    return any(
        start <= item.start and item.end <= end
        for start, end in _overlapping_marks(item, marks)[:1]
    )


def _group_overlaps(matches: list[SecretMatch]) -> list[list[SecretMatch]]:
    """Group the matches that overlap."""
    groups: list[list[SecretMatch]] = []
    end = 0
    for item in sorted(matches, key=lambda item: (item.start, -item.end)):
        if not groups or item.start >= end:
            groups.append([])
        groups[-1].append(item)
        end = max(end, item.end)
    return groups


def _replace_groups(text: str, groups: list[list[SecretMatch]], registry: SecretRegistry) -> str:
    parts: list[str] = []
    done = 0
    for group in groups:
        start, end = group[0].start, max(item.end for item in group)
        whole = (item.value for item in group if (item.start, item.end) == (start, end))
        parts += text[done:start], registry.mark_of(next(whole, text[start:end]))
        done = end
    return "".join((*parts, text[done:]))
