"""An agent in a process of its own: writes the mark of a number, then works with that number.

`python -m tests.mirror.faults.agent_with_marks WORKSPACE SEED` goes on until it is killed.
"""

import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from reconcile.mirror.workspace.session_mark import MARK, SESSION_DIR

SIZE = 300_000
"""Bytes of a file that takes a while to read."""


def write_mark(root: Path, number: int) -> None:
    """Replace the mark at once."""
    (root / SESSION_DIR).mkdir(exist_ok=True)
    fresh = root / f"{MARK}.new"
    fresh.write_text(str(number))
    fresh.rename(root / MARK)


def _write(path: Path, number: int) -> None:
    path.write_text(str(number))


def _replace(path: Path, number: int) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(str(number))
    fresh.replace(path)


def _write_much(path: Path, number: int) -> None:
    path.write_bytes(b"%d\n" % number + b"x" * SIZE)


def _link(path: Path, number: int) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(str(number))


def _make_directory(path: Path, number: int) -> None:
    path.unlink(missing_ok=True)
    folder = path.with_name(f"{path.name}.d")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / f"n{number}").mkdir(parents=True)


def _hard_link(path: Path, number: int) -> None:
    path.unlink(missing_ok=True)
    original = path.with_name(f"{path.name}.one")
    _replace(original, number)
    path.hardlink_to(original)


DEEDS: tuple[Callable[[Path, int], None], ...] = (
    _write,
    _replace,
    _write_much,
    _link,
    _make_directory,
    _hard_link,
)
FOLDERS = ("+before", "work", "work/deep", SESSION_DIR, "~after")


def work(root: Path, number: int, chance: random.Random) -> None:
    """Do something in a few places."""
    for folder in chance.sample(FOLDERS, 3):
        (root / folder).mkdir(parents=True, exist_ok=True)
        path = root / folder / f"f{chance.randrange(3)}"
        if path.is_symlink():
            path.unlink()
        chance.choice(DEEDS)(path, number)


def find_newest_work(root: Path) -> int:
    """Return the highest number in a restored workspace, the mark left aside."""
    return max((_read_number(path) for path in root.rglob("*")), default=0)


def _read_number(path: Path) -> int:
    if path.name.startswith("prompt.json"):
        return 0
    if path.is_symlink():
        return int(path.readlink().name)
    if path.is_dir():
        return int(path.name[1:]) if path.name[1:].isdigit() else 0
    return int(path.read_bytes().partition(b"\n")[0] or 0)


def main() -> None:
    """Work until the end."""
    root, chance = Path(sys.argv[1]), random.Random(sys.argv[2])
    number = 0
    while True:
        number += 1
        write_mark(root, number)
        work(root, number, chance)


if __name__ == "__main__":
    main()
