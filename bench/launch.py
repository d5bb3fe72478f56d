"""Runs one program and writes what it cost: `python -I -S bench/launch.py RESULT PROGRAM ...`.

A process that comes from a large one is said to have had that one's peak memory; this one is small.
"""

import os
import sys
import time


def main() -> None:
    """Run it, and write seconds, CPU seconds, KiB and exit code."""
    result, *command = sys.argv[1:]
    began = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w") as file:  # noqa: PTH123 - pathlib is large
        file.write(f"{wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {code}")


main()
