"""Amounts of a pod's fields, as the server stores them."""

import pytest

from reconcile.core.fields.diff import find_differences
from reconcile.core.fields.merge_schema import merge_schema_for
from reconcile.core.fields.quantity import canonicalize_quantity
from reconcile.core.plan.offline import simulate_live
from tests.builders import container, manifest, pod

AMOUNTS = [
    {"containers": [container(resources={"requests": {"cpu": "0.0005", "memory": "0.5"}})]},
    {"initContainers": [container(name="i", resources={"limits": {"ephemeral-storage": "0.1Ki"}})]},
    {"overhead": {"cpu": "100u"}},
    {"resources": {"limits": {"cpu": "0.0001"}}},
    {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "0.5Gi"}}]},
    {
        "volumes": [
            {
                "name": "v",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {"resources": {"requests": {"storage": "1024Mi"}}}
                    }
                },
            }
        ]
    },
    {
        "containers": [
            container(
                env=[
                    {
                        "name": "A",
                        "valueFrom": {
                            "resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}
                        },
                    }
                ]
            )
        ]
    },
]


@pytest.mark.parametrize("spec", AMOUNTS)
def test_an_amount_that_the_server_rounds_is_no_difference(spec):
    wanted = manifest(pod(**spec))
    obj = simulate_live(wanted)
    stored = {**obj, "spec": canonical_amounts(obj["spec"])}
    assert not find_differences(
        merge_schema_for(wanted.kind),
        {**wanted.body, "metadata": stored["metadata"]},
        stored,
    )


def canonical_amounts(value):
    """The value with every amount as the server stores it."""
    match value:
        case dict():
            return {name: canonical_amounts(item) for name, item in value.items()}
        case list():
            return [canonical_amounts(item) for item in value]
        case str():
            return canonicalize_quantity(value, 3) or value
        case _:
            return value
