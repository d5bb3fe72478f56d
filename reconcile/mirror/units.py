"""Parses durations and bandwidths of options."""

import math
import re
from typing import Final

from reconcile.mirror.errors import SettingsError

_DURATION_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that `90s`, `15m`, `24h` or `7d` are.

    Raises:
        SettingsError: It has another format.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise SettingsError(f"{text!r} is not a duration: write 90s, 15m, 24h or 7d")
    return float(int(match[1]) * _DURATION_UNITS[match[2]])


_SIZE_UNITS: Final = {"k": 10**3, "Ki": 2**10, "M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": 2**30}
_RATE: Final = re.compile(r"([1-9][0-9]{2,8})(k|Ki)B?|([1-9][0-9]{0,5})(M|Mi|G|Gi)B?", re.ASCII)


def parse_bandwidth(text: str) -> float:
    """Return the bytes per second that `500KiB`, `20MiB` or `1GB` are; infinite for an empty text.

    Less than 100 kB is refused: a restore would take unreasonably long.

    Raises:
        SettingsError: It has another format, or is too small.
    """
    if not text:
        return math.inf
    match = _RATE.fullmatch(text)
    if match is None:
        raise SettingsError(
            f"{text!r} is not a bandwidth: write bytes per second, at least 100kB, such as 20MiB"
        )
    count, unit = match[1] or match[3], match[2] or match[4]
    return float(int(count) * _SIZE_UNITS[unit])
