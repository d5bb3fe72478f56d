"""A clock that the test sets, and consecutive UIDs."""

import itertools
from dataclasses import dataclass

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.server import EmbeddedSettings
from reconcile.runtime.clock import add_seconds

NOON = "2026-01-31T12:00:00Z"


@dataclass
class Clock:
    """Time that stands still until it is moved."""

    time: str = NOON

    def now(self) -> str:
        return self.time

    def pass_(self, seconds: float) -> None:
        self.time = add_seconds(self.time, seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(clock):
    numbers = itertools.count(1)
    return EmbeddedSettings(now=clock.now, new_uid=lambda: f"uid-{next(numbers)}")


@pytest.fixture
def cluster(settings):
    return EmbeddedCluster(settings=settings)
