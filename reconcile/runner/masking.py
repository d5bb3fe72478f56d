"""Replaces secrets in everything that leaves the pod: logs, messages, the file of events.

Known values are replaced exactly; besides, user information in URLs and the usual forms of tokens
are, since a server or a tool may quote one that was never mounted.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
_SHORTEST_SECRET: Final = 6
"""Shorter values are words that would make every text unreadable."""

_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@\"']{1,2000}@")
_TOKENS: Final = re.compile(
    r"(?:gh[pousr]_|github_pat_|glpat-|sk-ant-|sk-|xox[abprs]-|AKIA|ya29\.)[A-Za-z0-9_.=-]{10,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
)
_AUTHORIZATION: Final = re.compile(r"(?i)\b(bearer|basic|token)\s+[A-Za-z0-9+/_.=:-]{8,}")


class Masker:
    """Masks the given values and everything that looks like a token."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Replace the known values; each is also found as a line of its own, quoted or escaped."""
        forms = {form for secret in secrets for form in _list_forms(secret)}
        known = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def mask(self, text: str) -> str:
        """Return the text without secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _USER_INFO.sub(f"{MASK}@", text)
        text = _AUTHORIZATION.sub(rf"\1 {MASK}", text)
        return _TOKENS.sub(MASK, text)


def _list_forms(secret: str) -> set[str]:
    """A key of several lines is also found line by line, as in the error of a tool."""
    parts = {secret.strip(), *(line.strip() for line in secret.splitlines())}
    long = {part for part in parts if len(part) >= _SHORTEST_SECRET}
    escaped = {part.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for part in long}
    return long | escaped | {quote(part, safe="") for part in long}
