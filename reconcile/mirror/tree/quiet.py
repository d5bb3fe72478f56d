"""When a file is quiet, told from its times alone."""

TICK = 20_000_000
"""Nanoseconds; the kernel's file times advance every 1 to 10 ms, and so two writes may look one."""

COARSE = 2_000_000_000
"""The same for file systems that keep whole seconds, told by a time without fractions."""


def fresh_for(ctime: int, now: int) -> int:
    """How many nanoseconds until a further write to this file is sure to change its `ctime`.

    0 for a time in the future: a clock that is ahead must not keep a file out for ever.
    """
    grain = TICK if ctime % 1_000_000_000 else COARSE
    age = now - ctime
    return grain - age if 0 <= age < grain else 0
