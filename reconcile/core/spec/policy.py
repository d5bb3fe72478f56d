"""What a policy document sets becomes a Policy."""

from collections.abc import Mapping
from typing import Any

from reconcile.core.model import Budget, OnConflict, Policy
from reconcile.core.spec.kinds import POLICY_SPEC
from reconcile.core.spec.layers import built_in, overlay


def policy_of(layer: Mapping[str, Any]) -> Policy:
    """Fill in what the file does not set; `layer` has passed validation."""
    spec = overlay(POLICY_SPEC, built_in(POLICY_SPEC), layer)
    return Policy(
        installation=spec["installation"],
        namespaces=frozenset(spec["namespaces"]),
        deletes=_budget(spec["budgets"]["deletes"]),
        restarts=_budget(spec["budgets"]["restarts"]),
        allow_deletes=frozenset(spec["allowDeletes"]),
        allow_restarts=frozenset(spec["allowRestarts"]),
        allow_empty=spec["allowEmpty"],
        on_conflict=OnConflict(spec["onConflict"]),
        mask=tuple(spec["mask"]),
    )


def _budget(spec: Mapping[str, int]) -> Budget:
    return Budget(percent=spec["percent"], at_least=spec["atLeast"])
