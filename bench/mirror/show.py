"""Prints the tables of the mirror's benchmark."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from bench.mirror.limits import Limit
from bench.mirror.run import Cell
from bench.mirror.server import UNCOUNTED


def show_cells(cells: Sequence[Cell], latency: float) -> None:
    """Print one table with a line for each tree, operation and tool."""
    print(f"\n{1000 * latency:.0f} ms of latency for each request\n")
    columns = f"{'wall s':>9}{'CPU s':>8}{'peak MiB':>10}{'requests':>10}{'MB up':>9}{'MB down':>9}"
    print(f"{'':<5}{'':<13}{'':<18}{columns}")
    last = ("", "")
    order = {"cold": 0, "no-op": 1, "incremental": 2, "hydrate": 3}
    chosen = [cell for cell in cells if cell.latency == latency]
    for cell in sorted(chosen, key=lambda cell: (cell.tree, order[cell.operation])):
        this = (cell.tree, cell.operation)
        tree, operation = this if this != last else ("", "")
        last = this
        print(f"{tree:<5}{operation:<13}{cell.tool:<18}{_figures(cell)}")


def _figures(cell: Cell) -> str:
    cost, counts = cell.cost, cell.counts
    times = f"{cost.wall:>9.2f}{cost.cpu:>8.2f}{cost.peak_mib:>10.0f}"
    if counts == UNCOUNTED:
        return f"{times}{'-':>10}{'-':>9}{'-':>9}"
    return f"{times}{counts.requests:>10}{counts.sent / 1e6:>9.2f}{counts.got / 1e6:>9.2f}"


def show_limits(limits: Sequence[Limit]) -> None:
    """Print the times that no tool can beat."""
    print("\nthe limit: one pass over the same bytes\n")
    for limit in limits:
        print(f"{limit.tree:<5}{limit.text:<31}{limit.wall:>9.2f}")


def show_losses(losses: Mapping[str, Sequence[str]]) -> None:
    """Print how many names of W2 differ after each tool's round trip, by kind of difference."""
    print("\nnames of W2 that differ after a round trip; s5cmd and aws fail or hang at hard names,")
    print("so these were removed before the measurement and count as lost here\n")
    for tool, lines in losses.items():
        kinds = Counter(_kind(line) for line in lines)
        summary = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
        print(f"{tool:<18}{len(lines):>7}   {summary}")


_CHANGE = re.compile(r": (\w+) ?(\S*) ?(\S*).*? became (\w+) ?(\S*) ?(\S*)")


def _kind(line: str) -> str:
    """Return the kind of a difference in a few words, such as `link lost`."""
    match = _CHANGE.search(line)
    assert match is not None, line
    was, now = match.groups()[:3], match.groups()[3:]
    if now[0] == "nothing":
        return f"{was[0]} lost"
    if was[0] == "nothing":
        return f"{now[0]} invented"
    if was[0] != now[0]:
        return f"{was[0]} became {now[0]}"
    if was[1] != now[1]:
        return f"{was[0]} mode"
    return f"{was[0]} time" if was[2] != now[2] else f"{was[0]} content or hard link"
