"""Prints the tables."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from bench.cluster import Claim
from bench.mirror.limits import Limit
from bench.mirror.run import Cell
from bench.mirror.server import UNCOUNTED


def show_cells(cells: Sequence[Cell], latency: float) -> None:
    """Print one table: a line for each tree, operation and tool."""
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
    spent = f"{cost.wall:>9.2f}{cost.cpu:>8.2f}{cost.peak_mib:>10.0f}"
    if counts == UNCOUNTED:
        return f"{spent}{'-':>10}{'-':>9}{'-':>9}"
    return f"{spent}{counts.requests:>10}{counts.sent / 1e6:>9.2f}{counts.got / 1e6:>9.2f}"


def show_limits(found: Sequence[Limit]) -> None:
    """Print what no tool can be faster than."""
    print("\nthe limit: one pass over the same bytes\n")
    for limit in found:
        print(f"{limit.tree:<5}{limit.text:<31}{limit.wall:>9.2f}")


def show_claims(promises: Sequence[Claim]) -> None:
    """Print each promise and whether it is kept."""
    print()
    for promise in promises:
        bound = f"{'at least' if promise.at_least else 'at most'} {promise.bound:.4g}"
        verdict = "kept" if promise.holds else "MISSED"
        print(f"{promise.text:<48}{promise.value:>8.2f}   {bound:<14}{verdict}")


def show_losses(losses: Mapping[str, Sequence[str]]) -> None:
    """Print at how many names of W2 each tool's round trip gave something else, and two of them."""
    print("\nnames of W2 that differ after a round trip; s5cmd and aws stop or wait at hard names,")
    print("so that these were taken out before they were measured, and count as lost here\n")
    for tool, lines in losses.items():
        kinds = Counter(_kind(line) for line in lines)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(6))
        print(f"{tool:<18}{len(lines):>7}   {told}")


_CHANGE = re.compile(r": (\w+) ?(\S*) ?(\S*).*? became (\w+) ?(\S*) ?(\S*)")


def _kind(line: str) -> str:
    """Say in a few words what became of a name, such as `link lost`."""
    found = _CHANGE.search(line)
    assert found is not None, line
    was, now = found.groups()[:3], found.groups()[3:]
    if now[0] == "nothing":
        return f"{was[0]} lost"
    if was[0] == "nothing":
        return f"{now[0]} invented"
    if was[0] != now[0]:
        return f"{was[0]} became {now[0]}"
    if was[1] != now[1]:
        return f"{was[0]} mode"
    return f"{was[0]} time" if was[2] != now[2] else f"{was[0]} content or hard link"
