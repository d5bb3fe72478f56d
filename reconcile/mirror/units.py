"""Bytes a second as people write them.

Lengths of time as people write them.
"""

import math
import re
from typing import Final

from reconcile.mirror.errors import SettingsError

_DURATION_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that `90s`, `15m`, `24h` or `7d` are.

    Raises:
        SettingsError: It is not written like that.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise SettingsError(f"{text!r} is no length of time: write 90s, 15m, 24h or 7d")
    return float(int(found[1]) * _DURATION_UNITS[found[2]])


_SIZE_UNITS: Final = {"k": 10**3, "Ki": 2**10, "M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": 2**30}
_RATE: Final = re.compile(r"([1-9][0-9]{2,8})(k|Ki)B?|([1-9][0-9]{0,5})(M|Mi|G|Gi)B?", re.ASCII)


def parse_bandwidth(text: str) -> float:
    """Return the bytes a second that `500KiB`, `20MiB` or `1GB` are; infinitely many for nothing.

    Less than 100 kB is refused: no workspace would be restored in any reasonable time.

    Raises:
        SettingsError: It is not written like that, or is too little.
    """
    if not text:
        return math.inf
    found = _RATE.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"{text!r} is no bandwidth: write bytes a second, at least 100kB, such as 20MiB"
        )
    count, unit = found[1] or found[3], found[2] or found[4]
    return float(int(count) * _SIZE_UNITS[unit])
