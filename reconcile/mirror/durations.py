"""Lengths of time as people write them."""

import re
from typing import Final

from reconcile.mirror.errors import SettingsError

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def seconds(text: str) -> float:
    """Return the seconds that `90s`, `15m`, `24h` or `7d` are.

    Raises:
        SettingsError: It is not written like that.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise SettingsError(f"{text!r} is no length of time: write 90s, 15m, 24h or 7d")
    return float(int(found[1]) * _UNITS[found[2]])
