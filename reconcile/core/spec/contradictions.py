"""What only the merged settings of a session can contradict."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from reconcile.core.fields.quantity import parse_quantity
from reconcile.core.spec.gitnames import folder


def contradictions(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that Kubernetes would refuse for another one's sake."""
    resources = spec["runner"]["resources"]
    limits = resources["limits"]
    return [
        (f"spec.runner.resources.requests.{name}", "is more than the limit that holds here")
        for name, amount in resources["requests"].items()
        if name in limits and _value(amount) > _value(limits[name])
    ]


def doubts(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every field of a merged `spec` that will not do what its author may believe."""
    first: dict[str, int] = {}
    return [
        (f"spec.repos[{index}].url", f"is cloned into the same folder as spec.repos[{at}]")
        for index, repo in enumerate(spec["repos"])
        if (at := first.setdefault(folder(repo["url"]), index)) != index
    ]


def _value(quantity: str) -> Fraction:
    return parse_quantity(quantity) or Fraction()
