"""The targets of the mirror, with the figures of this run."""

from collections.abc import Iterator, Sequence

from bench.mirror.run import Cell
from bench.mirror.server import UNCOUNTED
from bench.targets import Target

OURS, FASTEST, RCLONE = "reconcile-mirror", "rclone fastest", "rclone"
S5CMD, RESTIC, AWS = "s5cmd", "restic", "aws s3 sync"

# A restore imports minio, which costs up to 0.15 s at the start: 1.8 instead of 2 against restic.
RATIOS: Sequence[tuple[float, str, str, str, float]] = (
    (0.0, "W1", "cold", FASTEST, 8),
    (0.0, "W1", "cold", S5CMD, 6),
    (0.0, "W1", "cold", RESTIC, 1),
    (0.0, "W2", "cold", FASTEST, 4),
    (0.0, "W2", "cold", S5CMD, 6),
    (0.0, "W2", "cold", RESTIC, 1),
    (0.0, "W1", "hydrate", FASTEST, 7),
    (0.0, "W1", "hydrate", S5CMD, 2),
    (0.0, "W1", "hydrate", RESTIC, 1.8),
    (0.0, "W2", "hydrate", FASTEST, 3),
    (0.0, "W2", "hydrate", S5CMD, 2),
    (0.0, "W2", "hydrate", RESTIC, 1.8),
    (0.02, "W1", "cold", RCLONE, 20),
    (0.02, "W1", "cold", AWS, 20),
    (0.02, "W1", "cold", S5CMD, 8),
    (0.02, "W2", "cold", RCLONE, 20),
    (0.02, "W2", "cold", AWS, 20),
    (0.02, "W2", "cold", S5CMD, 8),
    (0.02, "W1", "hydrate", FASTEST, 7),
    (0.02, "W1", "hydrate", S5CMD, 2),
    (0.02, "W1", "hydrate", RESTIC, 1.8),
    (0.02, "W2", "hydrate", FASTEST, 7),
    (0.02, "W2", "hydrate", S5CMD, 2),
    (0.02, "W2", "hydrate", RESTIC, 1.8),
)
"""Latency in s, tree, operation, rival, and how many times faster reconcile-mirror must be."""

MB = 1e6


def find_targets(cells: Sequence[Cell], changed: float = 0.0) -> Iterator[Target]:
    """Yield each target for which there are figures.

    Args:
        cells: The measured operations.
        changed: Bytes that W4 changes.
    """
    found = {(cell.latency, cell.tree, cell.operation, cell.tool): cell for cell in cells}
    for latency, tree, operation, rival, least in RATIOS:
        ours = found.get((latency, tree, operation, OURS))
        theirs = found.get((latency, tree, operation, rival))
        if ours and theirs:
            text = f"{tree} {operation}, {1000 * latency:.0f} ms: {rival} / ours"
            yield Target(text, theirs.cost.wall / ours.cost.wall, least, at_least=True)
    for latency in sorted({cell.latency for cell in cells}):
        yield from _no_op(cells, latency)
        yield from _changes(found, latency, changed)
        yield from _large_file(cells, latency)


def _no_op(cells: Sequence[Cell], latency: float) -> Iterator[Target]:
    for tree in ("W1", "W2"):
        same = [c for c in cells if (c.latency, c.tree, c.operation) == (latency, tree, "no-op")]
        ours = [cell for cell in same if cell.tool == OURS]
        others = [cell.cost.wall for cell in same if cell.tool != OURS]
        where = f"{tree} no-op, {1000 * latency:.0f} ms"
        if ours and ours[0].counts != UNCOUNTED:
            yield Target(f"{where}: requests", ours[0].counts.requests, 1, at_least=False)
        if ours and others:
            value = min(others) / ours[0].cost.wall
            yield Target(f"{where}: fastest rival / ours", value, 1, at_least=True)


def _changes(
    found: dict[tuple[float, str, str, str], Cell], latency: float, changed: float
) -> Iterator[Target]:
    where = f"{1000 * latency:.0f} ms"
    found = {key: cell for key, cell in found.items() if cell.counts != UNCOUNTED}
    if w4 := found.get((latency, "W2", "incremental", OURS)):
        yield Target(f"W4, {where}: requests", w4.counts.requests, 6, at_least=False)
        overhead = (w4.counts.sent + w4.counts.got - changed) / MB
        yield Target(f"W4, {where}: MB more than the changes", overhead, 3, at_least=False)
    if w5 := found.get((latency, "W5", "incremental", OURS)):
        mib = (w5.counts.sent + w5.counts.got) / (1 << 20)
        yield Target(f"W5, {where}: MiB", mib, 20, at_least=False)


def _large_file(cells: Sequence[Cell], latency: float) -> Iterator[Target]:
    if latency:
        return
    for operation in ("cold", "hydrate"):
        same = [c for c in cells if (c.latency, c.tree, c.operation) == (latency, "W3", operation)]
        ours = [cell.cost.wall for cell in same if cell.tool == OURS]
        others = [cell.cost.wall for cell in same if cell.tool != OURS]
        if ours and others:
            text = f"W3 {operation}, 0 ms: ours / fastest rival"
            yield Target(text, ours[0] / min(others), 1.3, at_least=False)
