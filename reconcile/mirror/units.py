"""Bytes a second as people write them."""

import math
import re
from typing import Final

from reconcile.mirror.errors import SettingsError

_UNITS: Final = {"k": 10**3, "Ki": 2**10, "M": 10**6, "Mi": 2**20, "G": 10**9, "Gi": 2**30}
_RATE: Final = re.compile(r"([1-9][0-9]{2,8})(k|Ki)B?|([1-9][0-9]{0,5})(M|Mi|G|Gi)B?", re.ASCII)


def bytes_per_second(text: str) -> float:
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
    return float(int(count) * _UNITS[unit])
