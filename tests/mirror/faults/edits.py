"""Random edits of a small workspace, as an agent makes them; the same for the same seed."""

import os
import random
import shutil
from pathlib import Path

from reconcile.mirror.snapshot.keys import MAX_PACKED_FILE

FOLDERS = ("", "src", "src/deep/er", "odd\nname", os.fsdecode(b"latin-\xe9"))
NAMES = tuple(f"f{number}" for number in range(8))


def edit(root: Path, chance: random.Random, count: int = 8) -> None:
    """Change, make, move, link and remove some files."""
    for _ in range(count):
        folder = root / chance.choice(FOLDERS)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / chance.choice(NAMES)
        chance.choice(DEEDS)(path, root, chance)


def _write(path: Path, _root: Path, chance: random.Random) -> None:
    fresh = path.with_name("fresh")
    fresh.write_bytes(chance.randbytes(chance.choice((0, 1, 100, 5000, 70_000))))
    fresh.chmod(chance.choice((0o644, 0o600, 0o755)))
    fresh.replace(path)


def _append(path: Path, _root: Path, chance: random.Random) -> None:
    if not path.is_symlink():
        with path.open("ab") as file:
            file.write(chance.randbytes(50))


def _remove(path: Path, _root: Path, _chance: random.Random) -> None:
    path.unlink(missing_ok=True)


def _link(path: Path, _root: Path, chance: random.Random) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(chance.choice(("nowhere", "../f1", "/etc/hostname")))


def _hard_link(path: Path, root: Path, chance: random.Random) -> None:
    other = root / chance.choice(NAMES)
    if other.is_file() and not other.is_symlink() and other != path:
        path.unlink(missing_ok=True)
        path.hardlink_to(other)


def _move(path: Path, root: Path, chance: random.Random) -> None:
    if path.is_file():
        path.replace(root / chance.choice(NAMES))


def _clear(path: Path, root: Path, chance: random.Random) -> None:
    if path.parent != root and not chance.randrange(4):
        shutil.rmtree(path.parent)


def _grow(_path: Path, root: Path, chance: random.Random) -> None:
    """A file that is an object of its own."""
    if not chance.randrange(3):
        (root / "large").write_bytes(chance.randbytes(MAX_PACKED_FILE + 1 + chance.randrange(1000)))


DEEDS = (_write, _write, _write, _append, _remove, _link, _hard_link, _move, _clear, _grow)
