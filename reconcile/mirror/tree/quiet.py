"""What may be torn if it is read now, told from times alone."""

TICK = 20_000_000
"""Nanoseconds; the kernel's file times advance every 1 to 10 ms, and so two writes may look one."""


def fresh_for(ctime: int, now: int) -> int:
    """How many nanoseconds until a further write to this file is sure to change its `ctime`.

    0 for a time in the future: a clock that is ahead must not keep a file out for ever.
    """
    age = now - ctime
    return TICK - age if 0 <= age < TICK else 0
