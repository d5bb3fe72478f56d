"""Files that mirrors often lose or change: names, modes, links, times, empty folders."""

import os
from collections.abc import Callable
from pathlib import Path

NAMES: tuple[bytes, ...] = (
    b"new\nline",
    b"tab\there",
    b'quo"te',
    b"apos'trophe",
    b"back\\slash",
    b"-rf",
    b"--delete",
    b" leading space",
    b"trailing space ",
    b"trailing dot.",
    b"...",
    b"percent%0Aescape",
    b"%",
    b"star*?[x]",
    b"dollar$HOME`id`",
    b"bell\a-escape\x1b[31m-delete\x7f",
    b"latin-1 \xe9\xff",
    b"\xff\xfe",
    b"cut utf-8 \xe2\x82",
    "ümlaut é 日本語 🙂".encode(),
    "e\u0301 decomposed".encode(),
    "zero\u200bwidth \u202eright-to-left".encode(),
    b"CON",
    b"a:b",
    b"#hash",
    b"~",
    b"x" * 255,
    b"\xc3\xa9" * 127,
    b"file+plus&amp;=.txt",
    b".hidden",
    b"HEAD",
)
"""Each is the name of a file, of a folder and of a symbolic link."""


def write_hard_names(root: Path, time: Callable[[], int]) -> None:
    """Create `root` and fill it with these files."""
    root.mkdir()
    for kind in ("files", "folders", "links"):
        (root / kind).mkdir()
    for number, name in enumerate(map(os.fsdecode, NAMES)):
        _file(root / "files" / name, b"%d\n" % number, time())
        _file(root / "folders" / name / "inside", b"in %d\n" % number, time())
        link = root / "links" / name
        link.symlink_to(f"../files/{name}")
        moment = time()
        os.utime(link, ns=(moment, moment), follow_symlinks=False)
    _modes(root / "modes", time)
    _links(root / "linked", time)
    _shapes(root / "shapes", time)


def _file(path: Path, data: bytes, time: int) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(time, time))


def _modes(root: Path, time: Callable[[], int]) -> None:
    root.mkdir()
    for mode in (0o400, 0o444, 0o600, 0o640, 0o664, 0o700, 0o755, 0o777, 0o2755, 0o4755, 0o1644):
        path = root / f"{mode:04o}"
        _file(path, b"mode\n", time())
        path.chmod(mode)
    for mode in (0o500, 0o555, 0o700, 0o1777, 0o2775):
        folder = root / f"folder-{mode:04o}"
        folder.mkdir()
        _file(folder / "inside", b"inside\n", time())
        folder.chmod(mode)


def _links(root: Path, time: Callable[[], int]) -> None:
    root.mkdir()
    (root / "dangling").symlink_to("nowhere/at/all")
    (root / "absolute").symlink_to("/etc/hostname")
    (root / "circle").symlink_to("circle")
    (root / "up").symlink_to("../..")
    (root / "to a folder").symlink_to("../modes")
    _file(root / "one", b"one of three names\n", time())
    (root / "three").hardlink_to(root / "one")
    (root / "deeper").mkdir()
    (root / "deeper/two").hardlink_to(root / "one")


def _shapes(root: Path, time: Callable[[], int]) -> None:
    (root / "empty/in/empty").mkdir(parents=True)
    (root / "deep" / "/".join(["d"] * 200)).mkdir(parents=True)
    _file(root / "empty.txt", b"", time())
    _file(root / "old", b"before 1970 was nothing\n", 1)
    _file(root / "late", b"after 2038\n", 4_000_000_000_123_456_789)
    with (root / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    moment = time()
    os.utime(root / "sparse", ns=(moment, moment))
