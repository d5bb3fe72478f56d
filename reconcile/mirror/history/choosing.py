"""Which generation somebody means: by its number, or by a time."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from reconcile.mirror.errors import DamagedError, SettingsError
from reconcile.mirror.history.generations import read_past, require_head
from reconcile.mirror.model import Generation
from reconcile.mirror.snapshot.encoding import SECOND, parse_stamp, stamp_text
from reconcile.mirror.store.port import Store

_DIGITS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def choose(store: Store, at: str) -> Generation:
    """Return the generation that `at` means: a number, a time, or nothing for the current one.

    By its number also one is found that a damaged manifest cuts off from HEAD.

    A time means the last generation that was committed then or before. It is in RFC 3339; without
    an offset it is UTC.

    Raises:
        SettingsError: It is neither, or there is no such generation; says which there are.
        DamagedError: There is no HEAD, or it is damaged.
        StoreError: The store could not be read.
    """
    current = require_head(store).head.generation
    if not at:
        return current
    moment = None if _is_number(at) else _parse(at)
    if moment is None and int(at) == current.number:
        return current
    past = read_past(store)
    there = past.generations()
    if moment is None:
        chosen = there.get(int(at)) or past.unproven().get(int(at))
    else:
        chosen = next((each for each in there.values() if each.time <= moment), None)
    if chosen is None:
        raise _unknown(at, there, past.troubles)
    return chosen


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _parse(text: str) -> int:
    with suppress(ValueError):
        return parse_stamp(text)  # As `log` shows it, with all nine decimals.
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"--at is {text!r}: write the number of a generation or a time such as "
            "2026-01-31T12:00:00Z"
        ) from None
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (known - _EPOCH) // timedelta(microseconds=1) * (SECOND // 1_000_000)


def _unknown(
    at: str, there: dict[int, Generation], troubles: object
) -> SettingsError | DamagedError:
    if troubles:
        return DamagedError(
            f"no generation is known for {at!r}, but some manifests cannot be read: run "
            "`reconcile-mirror verify --all`"
        )
    if not there:
        return SettingsError(f"there is no generation for {at!r}: nothing was committed yet")
    newest, oldest = max(there), min(there)
    return SettingsError(
        f"there is no generation for {at!r}: kept are {len(there)} from {oldest} "
        f"({stamp_text(there[oldest].time)}) to {newest} ({stamp_text(there[newest].time)}); "
        "`reconcile-mirror log` lists them"
    )
