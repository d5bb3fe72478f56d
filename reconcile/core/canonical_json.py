"""One byte form for every JSON value, so that equal values have equal digests."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson


def encode_canonical(value: Any) -> bytes:
    """Encode a JSON value as UTF-8 with sorted keys and no blanks.

    Mappings of any type count as objects, tuples as lists. Raises TypeError for what JSON cannot
    carry: other types, keys that are not text, integers beyond 64 bits, lone surrogates.
    """
    return orjson.dumps(value, _mapping_to_dict, orjson.OPT_SORT_KEYS)


def compute_digest(value: Any) -> str:
    """Return `sha256:<hex>` over the canonical form; raises as `encode_canonical` does."""
    return f"sha256:{hashlib.sha256(encode_canonical(value)).hexdigest()}"


def _mapping_to_dict(value: Any) -> dict[Any, Any]:
    """Convert a mapping that is not a dict; orjson calls this for each type it does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_MAX_COUNT: Final = 2**53
"""Every JSON parser reads whole numbers up to this one exactly."""


def parse_count(value: object) -> int:
    """Return a number that was read from JSON; ValueError unless it is one that can be written."""
    if type(value) is not int or not 0 <= value <= _MAX_COUNT:
        raise ValueError("it is not a whole number from 0 to 2^53")
    return value
