"""Colour on a terminal, or none."""

from dataclasses import dataclass
from typing import Final

_RESET: Final = "\x1b[0m"
_CODES: Final = {
    "+": "\x1b[32m",
    "~": "\x1b[33m",
    "-/+": "\x1b[35m",
    "-": "\x1b[31m",
    "!": "\x1b[36m",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
}


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text is laid out: `verbose` shows what is unchanged too."""

    colour: bool = False
    verbose: bool = False

    def paint(self, style: str, text: str) -> str:
        """Colour a text in the style of a symbol, `bold` or `dim`; as it is for any other."""
        if not self.colour or not text or style not in _CODES:
            return text
        return f"{_CODES[style]}{text}{_RESET}"
