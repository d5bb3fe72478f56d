"""What a body must be before it can be merged at all."""

from collections import Counter
from typing import Any

from reconcile.adapters.embedded.managed_fields import child_of, steps
from reconcile.core.errors import InvalidError
from reconcile.core.fields.managed_fields import key_of
from reconcile.core.fields.merge_schema import Keyed, Node


def check_shape(value: Any, node: Node) -> None:
    """Refuse lists in which two items have one key, as an InvalidError."""
    if isinstance(node, Keyed) and isinstance(value, list):
        for key, count in Counter(key_of(item, node) for item in value).items():
            if count > 1:
                raise InvalidError(f"duplicate entries for key {key[2:]}")
    for key, below in steps(value, node).items():
        check_shape(below, child_of(node, key))
