"""Kubernetes quantities: compared by value (`1000m` equals `1`), and in canonical form.

The server stores `1000m` as `1`, `1024Mi` as `1Gi`, `0.1` as `100m`, and a CPU of `0.0005` as `1m`.
Source: the canonical form of apimachinery's `resource.Quantity`.
"""

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

from reconcile.core.fields.merge_schema import GranularMap, KeyedList, Quantity, SchemaNode

_QUANTITY_PATTERN = re.compile(
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
    """Return a quantity's value; None if the text is not a quantity."""
    form = _QUANTITY_PATTERN.fullmatch(text)
    if form is None:
        return None
    number, exponent, unit = form.groups()
    scale = _SCALES.get(unit) if exponent is None else Fraction(10) ** int(exponent)
    return None if scale is None else Fraction(number) * scale


_MAXIMUM: Final = 2**63 - 1
"""What the server stores for every larger amount."""


def parse_stored_quantity(value: Any, digits: int = 9) -> Fraction | None:
    """Return the amount that the server stores for text or a number; None for other values.

    It has at most `digits` decimal digits and is rounded away from zero.
    """
    exact = None if isinstance(value, bool) else parse_quantity(str(value))
    if exact is None or exact > _MAXIMUM:
        return exact and Fraction(_MAXIMUM)
    return Fraction(_round_away_from_zero(exact * 10**digits), 10**digits)


def same_quantity(one: Any, other: Any, digits: int = 9) -> bool:
    """Whether the server stores the same amount; values that are not quantities are compared."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    value = parse_stored_quantity(one, digits)
    if value is None:
        return str(one) == str(other)
    return value == parse_stored_quantity(other, digits)


def stringify_quantities(node: SchemaNode, value: Any) -> Any:
    """Convert quantities to text: old servers refuse numbers in a server-side apply."""
    match node, value:
        case Quantity(), int() | float() if not isinstance(value, bool):
            return str(value)
        case GranularMap(), dict():
            return {
                name: stringify_quantities(node.child(name), item) for name, item in value.items()
            }
        case KeyedList(), list():
            return [stringify_quantities(node.item, item) for item in value]
        case _:
            return value


_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_EXPONENT: Final = re.compile(r".*[eE][+-]?[0-9]+")
_SMALLEST_BINARY: Final = 1024


@lru_cache(maxsize=4096)
def canonicalize_quantity(text: str, digits: int = 9) -> str | None:
    """Return the canonical form of a quantity; None if the text is not a quantity.

    The amount is that of `parse_stored_quantity`.
    """
    value = parse_stored_quantity(text, digits)
    if value is None:
        return None
    if text.endswith("i") and abs(value) >= _SMALLEST_BINARY and value.denominator == 1:
        return _format_with_unit(value.numerator, 1024, _BINARY)
    if _EXPONENT.fullmatch(text):
        return _format_with_exponent(value)
    return _format_with_unit(int(value * 10**9), 1000, _DECIMAL)


def canonicalize_quantity_value(value: Any, digits: int = 9) -> Any:
    """Return the canonical form of text or a number; other values are returned unchanged."""
    canonical = canonicalize_quantity(str(value), digits)
    return value if canonical is None else canonical


def _round_away_from_zero(value: Fraction) -> int:
    return math.ceil(value) if value >= 0 else math.floor(value)


def _format_with_unit(amount: int, base: int, units: tuple[str, ...]) -> str:
    position = 0
    while amount and amount % base == 0 and position + 1 < len(units):
        amount //= base
        position += 1
    return f"{amount}{units[position]}" if amount else "0"


def _format_with_exponent(value: Fraction) -> str:
    amount, power = int(value * 10**9), -9
    while amount and amount % 1000 == 0:
        amount //= 1000
        power += 3
    return f"{amount}e{power}" if amount and power else str(amount)
