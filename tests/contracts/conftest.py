"""Every test of the contract runs with both implementations."""

from collections.abc import Iterator

import pytest

from reconcile.engine.ports import Cluster
from tests.contracts import clusters
from tests.contracts.clusters import ClusterUnderTest, OtherManager


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.cluster)])
def world(request: pytest.FixtureRequest) -> Iterator[ClusterUnderTest]:
    """A cluster of its own for each test."""
    if request.param == "embedded":
        yield clusters.embedded()
        return
    with clusters.real(request.getfixturevalue("control_plane")) as made:
        yield made


@pytest.fixture
def cluster(world: ClusterUnderTest) -> Cluster:
    return world.cluster


@pytest.fixture
def namespace(world: ClusterUnderTest) -> str:
    return world.namespace


@pytest.fixture
def other_manager(world: ClusterUnderTest) -> OtherManager:
    return world.other_manager
