"""Every contract test runs on each kind of store."""

import pytest

from reconcile.mirror.store.port import Store
from tests.mirror.contracts import stores
from tests.mirror.contracts.stores import StoreUnderTest


@pytest.fixture(params=["memory", "wrapped", "moto", pytest.param("s3", marks=pytest.mark.s3)])
def world(request: pytest.FixtureRequest) -> StoreUnderTest:
    """A new bucket for each test."""
    if request.param in {"memory", "wrapped"}:
        return stores.wrapped() if request.param == "wrapped" else stores.memory()
    return stores.on(request.getfixturevalue(f"{request.param}_server"))


@pytest.fixture
def store(world: StoreUnderTest) -> Store:
    """A prefix of the bucket."""
    return world.below("team/fix-login/")
