"""Workspaces for the benchmarks of the mirror, W1 to W5, the same on every machine.

`python -m bench.trees W2 DIR` writes one of them. Only the times and inodes in git's index differ.
"""

import argparse
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.gitclones import clone
from bench.hard_names import write_hard_names

EPOCH = 1_700_000_000_000_000_000
"""The time of the oldest file, in nanoseconds."""

MIB = 1 << 20
_WORDS = (
    "agent session workspace import return commit branch value error const function class "
    "reader writer stream buffer export default async await yield lambda snapshot restore"
)


class Material:
    """A generator of unique content: slices of one text, each with its own number at the start."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        words = _WORDS.split()
        self._text = " ".join(self.random.choices(words, k=400_000)).replace("t e", "t\ne").encode()
        self._number = 0

    def text(self, size: int) -> bytes:
        """Return `size` bytes that look like source code and compress like it."""
        self._number += 1
        start = self.random.randrange(len(self._text) // 2)
        head = b"// %d\n" % self._number
        body = head + self._text[start : start + size]
        while len(body) < size:
            body += self._text
        return body[:size]

    def noise(self, size: int) -> bytes:
        """Return `size` bytes that do not compress."""
        return self.random.randbytes(size)

    def size(self, median: int, largest: int) -> int:
        """Return a realistic file size: most are small, a few are large."""
        return min(int(self.random.lognormvariate(0, 1.3) * median) + 1, largest)

    def time(self) -> int:
        """Return a modification time, with nanoseconds."""
        return EPOCH + self.random.randrange(10**16)


def write(path: Path, data: bytes, *, time: int, mode: int = 0o644) -> None:
    """Write one file and its parent folders."""
    try:
        file = path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        file = path.open("wb")
    with file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        os.utime(file.fileno(), ns=(time, time))


def w1(root: Path, files: int = 10_000, size: int = 4096) -> None:
    """Write 10,000 files of 4 KiB in 500 folders."""
    material = Material(1)
    for number in range(files):
        path = root / f"folder-{number % 500:03}" / f"file-{number // 500:02}.txt"
        write(path, material.text(size), time=material.time())


def w2(root: Path, scale: float = 1.0) -> None:
    """Write an agent's workspace: clones, dependencies, output, and hard names.

    Args:
        root: The folder to fill.
        scale: 1.0 is about 30,000 files and 400 MB.
    """
    material = Material(2)
    for number, name in enumerate(("service", "console", "operator")):
        clone(root / "repos" / name, material, int(700 * scale) + 20, number)
    _dependencies(root / "repos/console/node_modules", material, int(1100 * scale) + 3)
    _site_packages(root / ".venv", material, int(160 * scale) + 3)
    _artifacts(root / "artifacts", material, scale)
    write_hard_names(root / "odd", material.time)
    for folder in sorted(_folders(root), reverse=True):
        if ".git" not in folder.parts:
            time = material.time()
            os.utime(folder, ns=(time, time))


def w3(root: Path, size: int = 2 << 30) -> None:
    """Write one file of 2 GiB that does not compress."""
    _large(root / "model.bin", Material(3), size)


def w4(root: Path) -> None:
    """Change W2 as an hour of work does: 20 files changed, 10 new, 10 deleted."""
    material = Material(4)
    files = sorted(
        path
        for path in (root / "repos").rglob("*.py")
        if ".git" not in path.parts and path.stat().st_nlink == 1 and not path.is_symlink()
    )
    chosen = material.random.sample(files, min(30, len(files)))
    for path in chosen[:20]:
        time = path.stat().st_mtime_ns + 10**12
        write(path, material.text(path.stat().st_size), time=time)
    for path in chosen[20:]:
        path.unlink()
    for number in range(10):
        path = root / "artifacts" / f"new-{number}.md"
        write(path, material.text(6000), time=material.time())


def w5(root: Path, size: int = 1 << 30) -> None:
    """Write one log of 1 GiB, which `append` changes."""
    _large(root / "session.log", Material(5), size)


def append(root: Path, size: int = MIB) -> None:
    """Append 1 MiB to W5."""
    with (root / "session.log").open("ab") as file:
        file.write(Material(6).noise(size))


def _large(path: Path, material: Material, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(material.noise(min(MIB, size - start)))
    time = material.time()
    os.utime(path, ns=(time, time))


def _dependencies(root: Path, material: Material, packages: int) -> None:
    for number in range(packages):
        scope = f"@scope-{number % 17}/" if number % 5 == 0 else ""
        package = root / f"{scope}package-{number:04}"
        write(package / "package.json", material.text(900), time=EPOCH)
        for path in _package_paths(material.random):
            mode = 0o755 if path.startswith("bin/") else 0o644
            size = material.size(3_000, 400_000)
            write(package / path, material.text(size), time=material.time(), mode=mode)
    shell = root / ".bin"
    shell.mkdir()
    for number in range(0, packages, 3):
        (shell / f"tool-{number}").symlink_to(f"../package-{number:04}/bin/cli.js")


def _package_paths(choice: random.Random) -> Iterator[str]:
    yield from ("README.md", "LICENSE", "index.js", "bin/cli.js")
    for number in range(choice.randrange(2, 26)):
        yield f"{choice.choice(('lib', 'dist/esm', 'dist/cjs', 'src/internal'))}/m{number}.js"


def _site_packages(root: Path, material: Material, packages: int) -> None:
    site = root / "lib/python3.11/site-packages"
    for number in range(packages):
        package = site / f"library_{number:03}"
        for module in range(material.random.randrange(10, 60)):
            path = package / ("sub" if module % 3 else "") / f"module_{module}.py"
            write(path, material.text(material.size(4_000, 300_000)), time=material.time())
        if number % 8 == 0:
            write(
                package / "_native.cpython-311-x86_64-linux-gnu.so",
                material.noise(material.size(1_000_000, 12 * MIB)),
                time=material.time(),
                mode=0o755,
            )
    (root / "bin").mkdir(parents=True)
    (root / "bin/python").symlink_to("/usr/local/bin/python3.11")
    (root / "lib64").symlink_to("lib")


def _artifacts(root: Path, material: Material, scale: float) -> None:
    for number in range(int(40 * scale) + 1):
        size = material.size(60_000, 2 * MIB)
        write(root / f"run-{number}/report.json", material.text(size), time=material.time())
    for number in range(4):
        data = material.noise(int((5 + 7 * number) * MIB * scale))
        write(root / f"model-{number}.bin", data, time=material.time())


def _folders(root: Path) -> Iterator[Path]:
    for folder, _, _ in os.walk(root):
        yield Path(folder)


TREES: dict[str, Callable[[Path], None]] = {"W1": w1, "W2": w2, "W3": w3, "W5": w5}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a tree into a new folder."""
    parser = argparse.ArgumentParser(prog="python -m bench.trees", description=__doc__)
    parser.add_argument("tree", choices=sorted(TREES))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True)
    TREES[options.tree](options.folder)


if __name__ == "__main__":
    main()
