"""Every contract test runs on each kind of store."""

import pytest

from reconcile.mirror.store.port import Store
from tests.mirror.contracts import worlds
from tests.mirror.contracts.worlds import World


@pytest.fixture(params=["memory", "wrapped", "moto", pytest.param("s3", marks=pytest.mark.s3)])
def world(request: pytest.FixtureRequest) -> World:
    """A new bucket for each test."""
    if request.param in {"memory", "wrapped"}:
        return worlds.wrapped() if request.param == "wrapped" else worlds.memory()
    return worlds.on(request.getfixturevalue(f"{request.param}_server"))


@pytest.fixture
def store(world: World) -> Store:
    """A prefix of the bucket."""
    return world.below("team/fix-login/")
