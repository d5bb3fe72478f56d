"""Removes secrets from text of a server, which may repeat what it was sent. Pure."""

import re
from collections.abc import Iterable
from typing import Final

_WINDOW: Final = 8
"""So many characters in a row that a text shares with a secret are a part of it."""

_MAX_LENGTH: Final = 600
_SIGNATURE: Final = re.compile(r"(?i)((?:Signature|Security-Token|Credential)=)[^\s,&<>\"']+")
_AUTHORIZATION: Final = re.compile(r"(?i)\b((?:basic|bearer)\s+)[\w.~+/=-]{6,}")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return the text in one line, without secrets, signatures, and parts of them.

    Args:
        text: Text of a server; only its beginning is returned.
        secrets: What must not be in the result; empty ones are ignored.
    """
    text = _UNPRINTABLE.sub(" ", text[: 4 * _MAX_LENGTH])
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = _remove(text, secret)
    text = _AUTHORIZATION.sub(r"\1…", _SIGNATURE.sub(r"\1…", text))
    return text if len(text) <= _MAX_LENGTH else text[:_MAX_LENGTH] + "…"


def _remove(text: str, secret: str) -> str:
    if len(secret) < _WINDOW:
        # A word that only contains a short secret does not show it.
        return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "…", text)
    # A server may cut or encode what it repeats, so each part of the secret is looked for.
    parts = {secret[at : at + _WINDOW] for at in range(len(secret) - _WINDOW + 1)}
    kept: list[str] = []
    position = end = 0
    for at in range(len(text) - _WINDOW + 1):
        if text[at : at + _WINDOW] in parts:
            if at > end:
                kept.append(text[position:at])
            if at > end or not kept:
                kept.append("…")
            position = end = at + _WINDOW
    return "".join(kept) + text[position:]
