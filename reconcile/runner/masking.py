"""Replaces secrets in everything that leaves the pod: logs, messages, the file of events.

Known values are replaced in every form in which tools show them; besides, user information in URLs
and the usual forms of tokens are, since a server or a tool may quote one that was never mounted.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

from reconcile.runtime.logging import Logger

MASK: Final = "***"
SHORTEST_SECRET: Final = 6
"""Characters; shorter values are words that would make every text unreadable: they are shown."""

_SHORTEST_SPLIT: Final = 12
"""Characters of a value that is also found where lines break it."""

_SHORTEST_PART: Final = 16
"""Characters of a part of a longer value, such as one line of a key."""

_MOST_SECRETS: Final = 1000
"""Values that are remembered, so that one that was rotated out is still masked."""

_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@\"']{1,2000}@")
_START: Final = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
_TOKENS: Final = re.compile(
    r"(?:gh[pousr]_|github_pat_|glpat-|sk-ant-|ATATT3)[A-Za-z0-9_.=-]{10,}"
    rf"|{_START}(?:sk-(?=[A-Za-z_-]{{0,40}}[0-9])|xox[abprs]-|ya29\.)[A-Za-z0-9_.=-]{{10,}}"
    rf"|{_START}AKIA[A-Z0-9]{{16}}"
    # The first part, a header, is bounded: else a text of `eyJeyJ...` takes a second.
    r"|eyJ[A-Za-z0-9_-]{8,500}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
_AUTHORIZATION: Final = re.compile(
    r"((?i:authorization)[\"'\\\s:=]{1,10}(?:(?i:bearer|basic|token)\s+)?)[^\s\"'\\]{3,}"
    r"|(\b(?i:bearer|basic|token)\s+)(?=\S{0,200}(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/_.=:~-]{8,}"
)
_BREAK: Final = r"(?:\s|\\+[nr])"
_BREAKS: Final = re.compile(f"{_BREAK}+")
_PART: Final = re.compile(rf"[A-Za-z0-9+/=_.~-]{{{_SHORTEST_PART},}}")
_UNUSUAL: Final = re.compile(r"[0-9]|[a-z][A-Z]")


class Masker:
    """Masks the given values and everything that looks like a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: dict[str, None] = {}
        self._forms: tuple[str, ...] = ()
        self._splittable: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Add values, such as those of a Secret that was rotated; the oldest are forgotten."""
        added = dict.fromkeys(each for each in secrets if each not in self._secrets)
        if not added:
            return
        self._secrets = dict.fromkeys([*self._secrets, *added][-_MOST_SECRETS:])
        parts = {part for secret in self._secrets for part in _list_parts(secret)}
        forms = {form for part in parts for form in _list_forms(part)}
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        whole = {_BREAKS.sub("", part) for part in parts}
        self._splittable = tuple(each for each in whole if len(each) >= _SHORTEST_SPLIT)

    def mask(self, text: str) -> str:
        """Return the text without secrets."""
        # To search for each form is much faster than a pattern of all of them.
        for form in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        text = self._mask_split(text)
        text = _USER_INFO.sub(f"{MASK}@", text)
        text = _AUTHORIZATION.sub(lambda found: f"{found[1] or found[2]}{MASK}", text)
        return _TOKENS.sub(MASK, text)

    def _mask_split(self, text: str) -> str:
        """Mask values that line breaks divide, as a terminal or base64 of a width does."""
        if not self._splittable or not _BREAKS.search(text):
            return text
        compact = _BREAKS.sub("", text)
        for secret in self._splittable:
            if secret in compact:
                text = re.sub(f"{_BREAK}*".join(map(re.escape, secret)), MASK, text)
        return text


def _list_parts(secret: str) -> Iterator[str]:
    """Yield the value, and what is secret in one that has several words or lines.

    An error quotes one line of a key; `clusters:` in a kubeconfig is no secret.
    """
    whole = secret.strip()
    if len(whole) < SHORTEST_SECRET:
        return
    yield whole
    if len(whole.split()) > 1 or "\\n" in whole:
        yield from (part for part in _PART.findall(whole) if _UNUSUAL.search(part))


def _list_forms(part: str) -> set[str]:
    escaped = {json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
    twice = {json.dumps(each)[1:-1] for each in escaped}
    quoted = {quote(part, safe=""), quote(part), quote_plus(part)}
    return {part, *escaped, *twice, *quoted, *_list_base64_forms(part)}


def _list_base64_forms(part: str) -> Iterator[str]:
    """Yield what base64 has for the value at each position, as after `user:` in basic auth."""
    data = part.encode(errors="surrogatepass")
    for before in range(3):
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        encoded = base64.b64encode(bytes(before) + data).decode()[first:last]
        if len(encoded) >= SHORTEST_SECRET + 2:
            yield encoded
            yield encoded.replace("+", "-").replace("/", "_")


class MaskingLogger:
    """Masks the texts of all events: the runner's and git's errors may quote anything."""

    def __init__(self, logger: Logger, masker: Masker) -> None:
        self._logger = logger
        self._masker = masker

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, **self._mask(fields))

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, **self._mask(fields))

    def _mask(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._masker.mask(value) if isinstance(value, str) else value
            for name, value in fields.items()
        }
