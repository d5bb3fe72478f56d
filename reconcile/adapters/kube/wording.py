"""How foreign text gets into a message: masked, on one line, without control characters, cut."""

from collections.abc import Callable
from typing import Final, TypeAlias

Mask: TypeAlias = Callable[[str], str]
"""Takes the secrets out of a text."""

SERVER_TEXT: Final = 500
"""Characters of the server's own words; its causes come first, long lists of values after."""

UNKNOWN_TEXT: Final = 256
"""Characters of text whose form nobody vouches for, such as a proxy's HTML page."""


def quoted(text: str, mask: Mask, limit: int = UNKNOWN_TEXT) -> str:
    """Make a foreign text fit for a message.

    Masked before it is cut: a pattern would not know the first half of a secret.
    """
    printable = "".join(char if char.isprintable() else " " for char in mask(text))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
