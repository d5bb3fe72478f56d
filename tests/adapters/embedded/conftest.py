"""A clock that the test sets, and consecutive UIDs."""

import itertools

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from tests.clocks import NOON, FakeClock


@pytest.fixture
def clock():
    return FakeClock(wall_offset=NOON)


@pytest.fixture
def settings(clock):
    numbers = itertools.count(1)
    return EmbeddedSettings(now=clock.now, new_uid=lambda: f"uid-{next(numbers)}")


@pytest.fixture
def cluster(settings):
    return EmbeddedCluster(settings=settings)
