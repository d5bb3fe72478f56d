"""Prints how the code is divided, and draws `docs/images/architecture.svg` from its imports.

`python -m docs.modules` prints a table: modules, lines, and how many modules have one importer.
With `--draw` it also writes the picture: a row for each layer that import-linter enforces, a box
for each package (and one for the modules that share a layer), and an arrow for each import that no
path of other arrows implies. Look at the picture before you commit it.
"""

import argparse
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import grimp

ROOT = Path(__file__).parent.parent
PICTURE = Path(__file__).parent / "images" / "architecture.svg"
PACKAGE = "reconcile"
WIDTH, HEIGHT, GAP, ROW, LINES = 148, 50, 22, 100, 3
COLOURS = {"core": "#dbeafe", "mirror": "#dcfce7", "runner": "#fce7f3", "runtime": "#e5e7eb"}
SPLIT = {"adapters": ("adapters.sources", "adapters.kube", "adapters.embedded")}
"""Packages that are drawn as the packages in them."""

COLUMNS = ("core", "mirror", "runner")
"""Packages of which each layer is drawn, from left to right."""

RUNTIME = "runtime"
"""It is below all packages but `core`, so that arrows to it would say nothing."""

Arrow = tuple["Box", "Box"]


@dataclass(frozen=True)
class Module:
    """One file: its dotted name, its lines, and how many modules of the package import it."""

    name: str
    lines: int
    importers: int


@dataclass(frozen=True)
class Box:
    """A package, or all plain modules of one layer; names are relative to the package."""

    members: tuple[str, ...]
    x: float = 0
    y: float = 0

    def holds(self, name: str) -> bool:
        return any(name == member or name.startswith(f"{member}.") for member in self.members)

    @property
    def text(self) -> list[str]:
        """The names as lines; only the first has its whole path."""
        first, *more = (member.replace(".", "/") for member in self.members)
        names = [first, *(name.rpartition("/")[2] for name in more)]
        return textwrap.wrap(", ".join(names), 24)


def modules(graph: grimp.ImportGraph) -> list[Module]:
    """All modules of the package without the `__init__` files."""
    found = []
    for name in sorted(graph.modules):
        path = ROOT / (name.replace(".", "/") + ".py")
        if path.is_file():
            lines = len(path.read_text("utf-8").splitlines())
            found.append(Module(name, lines, len(graph.find_modules_that_directly_import(name))))
    return found


def table(found: list[Module]) -> str:
    """The figures as Markdown: one row for each package, and one for all."""
    packages: dict[str, list[Module]] = {}
    for module in found:
        packages.setdefault(module.name.rpartition(".")[0], []).append(module)
    rows = ["| package | modules | median lines | longest | with one importer |"]
    rows.append("|---|---:|---:|---:|---:|")
    rows += [_row(name, members) for name, members in sorted(packages.items())]
    return "\n".join([*rows, _row("all", found)])


def _row(name: str, members: list[Module]) -> str:
    lines = [module.lines for module in members]
    single = sum(module.importers == 1 for module in members)
    return f"| {name} | {len(members)} | {median(lines):.0f} | {max(lines)} | {single} |"


def boxes() -> list[Box]:
    """The layers of import-linter's contracts: the reconciler, then the programs of a pod."""
    layers = _layers()
    drawn = ({RUNTIME}, set(COLUMNS))
    top = [layer for layer in layers[PACKAGE] if set(layer) not in drawn]
    columns = [layers[f"{PACKAGE}.{name}"] for name in COLUMNS]
    placed, left = list[Box](), 0.0
    for column in ([*top, *columns[0]], *columns[1:]):
        placed += _column(column, left)
        left += max(map(len, map(_members, column))) * (WIDTH + GAP) + 2 * GAP
    bottom = max(box.y for box in placed) + ROW
    return [*placed, Box((RUNTIME,), (left - 2 * GAP - WIDTH) / 2, bottom)]


def _layers() -> Mapping[str, list[list[str]]]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = {}
    for contract in config["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers":
            (container,) = contract["containers"]
            prefix = f"{container}.".removeprefix(f"{PACKAGE}.")
            found[container] = [
                [prefix + part.strip() for part in layer.replace(":", "|").split("|")]
                for layer in contract["layers"]
            ]
    return found


def _members(layer: Iterable[str]) -> list[tuple[str, ...]]:
    """One tuple for each package of a layer, and as few for its plain modules as have room."""
    names = [part for name in layer for part in SPLIT.get(name, (name,))]
    plain = [name for name in names if not _folder(name).is_dir()]
    packages = [(name,) for name in names if name not in plain]
    return [*packages, *_boxfuls(plain)]


def _boxfuls(plain: list[str]) -> Iterator[tuple[str, ...]]:
    """Distribute modules evenly to boxes, whose text has room for so many lines."""
    count = next(n for n in range(1, len(plain) + 2) if all(map(_fits, _split(plain, n))))
    return _split(plain, count)


def _split(names: list[str], count: int) -> Iterator[tuple[str, ...]]:
    size = -(-len(names) // count) or 1
    return (tuple(names[start : start + size]) for start in range(0, len(names), size))


def _fits(names: tuple[str, ...]) -> bool:
    return len(Box(names).text) <= LINES


def _folder(name: str) -> Path:
    return ROOT / PACKAGE / name.replace(".", "/")


def _column(layers: list[list[str]], left: float) -> list[Box]:
    rows = [_members(layer) for layer in layers]
    breadth = max(map(len, rows))
    found = []
    for y, row in enumerate(rows):
        margin = GAP + left + (breadth - len(row)) * (WIDTH + GAP) / 2
        found += [
            Box(names, margin + x * (WIDTH + GAP), GAP + y * ROW) for x, names in enumerate(row)
        ]
    return found


def arrows(graph: grimp.ImportGraph, drawn: list[Box]) -> set[Arrow]:
    """Which box imports which, without the arrows that longer paths imply."""
    direct: dict[Box, set[Box]] = {box: set() for box in drawn}
    for name in graph.modules:
        start = _box(name, drawn)
        for other in graph.find_modules_directly_imported_by(name):
            end = _box(other, drawn)
            if start and end and start != end and RUNTIME not in end.members:
                direct[start].add(end)
    return {
        (start, end)
        for start, ends in direct.items()
        for end in ends
        if not _is_implied(start, end, direct)
    }


def _box(module: str, drawn: list[Box]) -> Box | None:
    name = module.removeprefix(f"{PACKAGE}.")
    return next((box for box in drawn if box.holds(name)), None)


def _is_implied(start: Box, end: Box, direct: Mapping[Box, set[Box]]) -> bool:
    seen, todo = {start}, [box for box in direct[start] if box != end]
    while todo:
        box = todo.pop()
        if end in direct[box]:
            return True
        todo += [each for each in direct[box] if each not in seen]
        seen |= direct[box]
    return False


def draw(drawn: list[Box], lines: Iterable[Arrow]) -> str:
    """The picture as SVG."""
    width = max(box.x for box in drawn) + WIDTH + GAP
    height = max(box.y for box in drawn) + HEIGHT + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#64748b"/></marker></defs>\n'
        f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
    )
    ordered = sorted(lines, key=lambda ends: (ends[0].members, ends[1].members))
    paths = "".join(_line(*ends) for ends in ordered)
    return f"{head}{paths}{''.join(map(_rectangle, drawn))}</svg>\n"


def _line(start: Box, end: Box) -> str:
    shape = 'fill="none" stroke="#64748b" marker-end="url(#tip)"'
    if start.y == end.y:
        right = start.x < end.x
        x1, x2 = start.x + (WIDTH if right else 0), end.x + (0 if right else WIDTH)
        return f'<path d="M{x1} {start.y + HEIGHT / 2}L{x2} {end.y + HEIGHT / 2}" {shape}/>\n'
    a, b, top, bottom = start.x + WIDTH / 2, end.x + WIDTH / 2, start.y + HEIGHT, end.y
    bend = (bottom - top) / 2
    side = WIDTH * 0.8 if bottom - top > ROW else 0  # passes the boxes of the rows between
    curve = f"C{a + side} {top + bend} {b + side} {bottom - bend} {b} {bottom}"
    return f'<path d="M{a} {top}{curve}" {shape}/>\n'


def _rectangle(box: Box) -> str:
    colour = COLOURS.get(box.members[0].partition(".")[0], "#fef3c7")
    middle, text = box.x + WIDTH / 2, box.text
    first = box.y + HEIGHT / 2 + 4 - 7 * (len(text) - 1)
    lines = "".join(
        f'<text x="{middle}" y="{first + 14 * number}" text-anchor="middle">{line}</text>\n'
        for number, line in enumerate(text)
    )
    return (
        f'<rect x="{box.x}" y="{box.y}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
        f'fill="{colour}" stroke="#64748b"/>\n{lines}'
    )


def main() -> None:
    """Print the table; draw the picture where that is requested."""
    parser = argparse.ArgumentParser(prog="python -m docs.modules", description=__doc__)
    parser.add_argument("--draw", action="store_true", help=f"write {PICTURE.relative_to(ROOT)}")
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    print(table(modules(graph)))
    if parser.parse_args().draw:
        drawn = boxes()
        PICTURE.write_text(draw(drawn, arrows(graph, drawn)), "utf-8")


if __name__ == "__main__":
    main()
