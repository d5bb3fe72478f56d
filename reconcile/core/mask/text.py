"""Secrets in free text that a name gives away: `API_TOKEN=…`, `"password": "…"`, `--token …`."""

import re
from collections.abc import Iterator
from typing import Final

from reconcile.core.mask.names import IsSecret, is_reference, vocabulary
from reconcile.core.mask.patterns import Hit

_NAME: Final = r"(?P<name>[A-Za-z_.][A-Za-z0-9_./-]{0,99})"

_ASSIGNED: Final = re.compile(
    rf"(?P<first>^[ \t]*+(?:-[ \t]++)?+)?(?<![A-Za-z0-9_./-])(?:--?)?+{_NAME}"
    r"(?P<sign>\\?[\"']?[ \t]{0,8}+[:=][ \t]{0,8}+)",
    re.MULTILINE,
)
_OPTION: Final = re.compile(rf"(?<![A-Za-z0-9_./-])--?{_NAME}[ \t]{{1,8}}+(?!-)")
_ENTRY: Final = re.compile(
    rf"\bname\\?[\"']?\s{{0,8}}+:\s{{0,8}}+\\?[\"']?{_NAME}\\?[\"']?\s{{0,8}}+,?\s{{0,80}}+"
    r"\\?[\"']?value\\?[\"']?\s{0,8}+:\s{0,8}+"
)
"""A backslash before a quote is there where JSON was put into JSON."""

_VALUE: Final = re.compile(
    r"\\\"((?:[^\\\n]|\\(?!\"))*+)"
    r"|\"((?:[^\"\\\n]|\\.)*+)"
    r"|'([^'\n]*+)"
    r"|([|>][+0-9-]{0,2}[ \t]*+(?:\n++[ \t]++[^\n]*+)++)"
    r"|([^\s\"'&,;)\]}]++)"
)
"""A quoted text, a YAML block with all that is indented below it, or a bare word."""

_NO_VALUE: Final = vocabulary(
    "true false null none yes no on off duplicate forbidden invalid not required too "
    "unauthorized unsupported is was are | >"
)
"""What stands after a name and a colon in an error message or a switch."""

_PROSE: Final = vocabulary("auth cookie cookies credential credentials")
"""Words that an English sentence puts before a colon without meaning a value."""


def assigned(text: str, is_secret: IsSecret) -> Iterator[Hit]:
    """Find the values that `text` assigns to secret names.

    What is found is a guess (prose has colons too), so no hit is certain.
    """
    for pattern in _patterns(text):
        done = 0
        for match in pattern.finditer(text):
            # A value is searched once, or `token=token=…` would cost its length squared.
            if match.start() >= done and _promises(match, is_secret):
                for hit in _value(text, match.end()):
                    done = hit.end
                    yield hit


def _patterns(text: str) -> Iterator[re.Pattern[str]]:
    if "=" in text or ":" in text:
        yield _ASSIGNED
    if "-" in text and " " in text:
        yield _OPTION
    if "value" in text and "name" in text:
        yield _ENTRY


def _promises(match: re.Match[str], is_secret: IsSecret) -> bool:
    # What comes before a dot says where the name is from: a file, or a section of a file.
    name = match["name"].rpartition(".")[2]
    if not is_secret(name) or is_reference(name):
        return False
    sign = match.groupdict().get("sign") or "="
    return not sign.startswith(":") or _is_key(match)


def _is_key(match: re.Match[str]) -> bool:
    """Tell a key of YAML or of a header from words before a colon: `Pod team/fix-auth: …`."""
    name = match["name"]
    domain, slash, _ = name.partition("/")
    if slash and "." not in domain:
        return False
    is_hyphenated = "-" in name and name.islower()
    if match["first"] is not None:
        # YAML wants a blank behind the colon; without one it is a host with its port.
        return not (is_hyphenated and match["sign"] == ":")
    return name.lower() not in _PROSE and not is_hyphenated


def _value(text: str, start: int) -> Iterator[Hit]:
    match = _VALUE.match(text, start)
    if match is None or match.lastindex is None:
        return
    group = match.lastindex
    if match[group] and match[group].lower() not in _NO_VALUE:
        yield Hit(match.start(group), match.end(group), certain=False)
