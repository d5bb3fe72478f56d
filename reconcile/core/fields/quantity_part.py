"""Kubernetes quantities by value: `1000m` is `1`, `1Gi` is `1024Mi`, `0.1` is `100m`."""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from reconcile.core.fields.merge_schema import Granular, Keyed, Node, Quantity

_FORM = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))(?:[eE]([+-]?\d{1,2})|([A-Za-z]{0,2}))", re.ASCII
)
_SCALES = {
    "": Fraction(1),
    **{unit: Fraction(10) ** (3 * power) for power, unit in enumerate("kMGTPE", 1)},
    **{f"{unit}i": Fraction(2) ** (10 * power) for power, unit in enumerate("KMGTPE", 1)},
    **{unit: Fraction(1, 10 ** (3 * power)) for power, unit in enumerate("mun", 1)},
}


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Fraction | None:
    """Give a quantity's value, None where the text is not a quantity."""
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    number, exponent, unit = form.groups()
    scale = _SCALES.get(unit) if exponent is None else Fraction(10) ** int(exponent)
    return None if scale is None else Fraction(number) * scale


def same_quantity(one: Any, other: Any) -> bool:
    """Compare two quantities, given as text or number, by value; what is none, literally."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    value = parse_quantity(str(one))
    return str(one) == str(other) if value is None else value == parse_quantity(str(other))


def as_text(node: Node, value: Any) -> Any:
    """Write the quantities in a value as text: server-side apply refuses numbers on old servers."""
    match node, value:
        case Quantity(), int() | float() if not isinstance(value, bool):
            return str(value)
        case Granular(), dict():
            return {name: as_text(node.child(name), item) for name, item in value.items()}
        case Keyed(), list():
            return [as_text(node.item, item) for item in value]
        case _:
            return value
