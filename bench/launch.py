"""Runs one program and writes its cost: `python -I -S bench/launch.py RESULT PROGRAM ...`.

Linux counts the memory of the parent in the peak memory of a new process. This parent is small.
"""

import os
import sys
import time


def main() -> None:
    """Run the program, and write seconds, CPU seconds, peak KiB and exit code."""
    result, *command = sys.argv[1:]
    began = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    with open(result, "w") as file:  # noqa: PTH123 - pathlib is large
        file.write(f"{wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {code}")


main()
