"""Targets: ratios and figures that a benchmark checks, and the table that shows which are met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One target: `value` must be at most, or at least, `bound`."""

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def print_targets(targets: Sequence[Target]) -> bool:
    """Print each target and whether it is met; returns whether all are."""
    print()
    for target in targets:
        bound = f"{'at least' if target.at_least else 'at most'} {target.bound:.4g}"
        verdict = "met" if target.is_met else "MISSED"
        print(f"{target.text:<48}{target.value:>8.2f}   {bound:<14}{verdict}")
    return all(target.is_met for target in targets)
