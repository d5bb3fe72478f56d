"""`python monitor.py COMMAND…`: sends JSON commands to Ceph's monitor.

A separate program that uses only the standard library: librados finds its libraries by
`LD_LIBRARY_PATH`, which must be set before a process starts, and Debian's `ceph` command needs
Debian's Python.
"""

import ctypes
import sys
import time

TRIES = 200
NOT_YET = -1
"""The code of a monitor that has not yet sent the cluster's ID to the client."""


def main() -> None:
    """Send the commands in order; exit with an error at the first that fails."""
    library = ctypes.CDLL("librados.so.2")
    cluster = ctypes.c_void_p()
    _check(library.rados_create(ctypes.byref(cluster), None), "rados_create")
    _check(library.rados_conf_read_file(cluster, None), "rados_conf_read_file")
    _check(library.rados_connect(cluster), "rados_connect")
    for command in sys.argv[1:]:
        _send(library, cluster, command)
    library.rados_shutdown(cluster)


def _send(library: ctypes.CDLL, cluster: ctypes.c_void_p, command: str) -> None:
    for _ in range(TRIES):
        code, message = _once(library, cluster, command)
        if code != NOT_YET:
            break
        time.sleep(0.05)
    _check(code, f"{command}: {message}")


def _once(library: ctypes.CDLL, cluster: ctypes.c_void_p, command: str) -> tuple[int, str]:
    out, message = ctypes.c_void_p(), ctypes.c_void_p()
    out_size, message_size = ctypes.c_size_t(), ctypes.c_size_t()
    code = library.rados_mon_command(
        cluster,
        (ctypes.c_char_p * 1)(command.encode()),
        ctypes.c_size_t(1),
        None,
        ctypes.c_size_t(0),
        ctypes.byref(out),
        ctypes.byref(out_size),
        ctypes.byref(message),
        ctypes.byref(message_size),
    )
    return code, ctypes.string_at(message, message_size.value).decode() if message else ""


def _check(code: int, what: str) -> None:
    if code < 0:
        sys.exit(f"{what}: error {code}")


if __name__ == "__main__":
    main()
