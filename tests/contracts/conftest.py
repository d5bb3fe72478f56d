"""Every test of the contract runs with both implementations."""

from collections.abc import Iterator

import pytest

from reconcile.engine.ports import Cluster
from tests.contracts import worlds
from tests.contracts.worlds import OtherManager, World


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.cluster)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A cluster of its own for each test."""
    if request.param == "embedded":
        yield worlds.embedded()
        return
    with worlds.real(request.getfixturevalue("control_plane")) as made:
        yield made


@pytest.fixture
def cluster(world: World) -> Cluster:
    return world.cluster


@pytest.fixture
def namespace(world: World) -> str:
    return world.namespace


@pytest.fixture
def other_manager(world: World) -> OtherManager:
    return world.other_manager
