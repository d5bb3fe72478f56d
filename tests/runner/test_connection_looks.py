"""Connections are looked at seldom, and often enough that one of a person prevents an end."""

import asyncio
from dataclasses import dataclass, field

import pytest

from reconcile.runner import endings
from reconcile.runner.endings import EndingOptions, Endings
from reconcile.runner.runs import RunsState
from tests.mirror.mirror_pod import RecordingLogger

LIMIT = 600.0


@dataclass
class Quiet:
    """A session to which nothing happens: no run is open, and the prompt is delivered."""

    state: RunsState = field(default_factory=RunsState)
    has_open_run: bool = False
    is_delivered: bool = True
    has_started: bool = True
    failure: str = ""


class World:
    """A clock that advances at each sleep, and what happens at its times."""

    def __init__(self, folder):
        self.now = self.connected_from = 0.0
        self.connected_until = -1.0
        self.looks = []
        self._was_connected = False
        self._options = EndingOptions(
            RecordingLogger(),
            folder,
            "uid",
            inactivity_seconds=LIMIT,
            monotonic=lambda: self.now,
        )

    async def sleep(self, seconds):
        self.now += seconds

    def is_connected(self):
        """Whether there is a connection that was there at the look before."""
        self.looks.append(self.now)
        before = self._was_connected
        self._was_connected = self.connected_from <= self.now <= self.connected_until
        return before and self._was_connected

    def wait_for_end(self):
        """Return the reason of the end."""
        return asyncio.run(Endings(self._options, Quiet(), Quiet()).wait_for_end()).reason


@pytest.fixture
def world(tmp_path, monkeypatch):
    found = World(tmp_path)
    monkeypatch.setattr(endings, "ConnectionWatch", lambda _port: found)
    monkeypatch.setattr(endings.asyncio, "sleep", found.sleep)
    return found


def test_an_idle_session_is_seldom_looked_at(world):
    assert world.wait_for_end() == "inactive"
    assert world.now == LIMIT
    assert len(world.looks) <= LIMIT / 30 + 4
    assert world.looks[-3:] == [LIMIT - 2, LIMIT - 1, LIMIT]


@pytest.mark.parametrize("until", [LIMIT - 1, LIMIT, 5 * LIMIT + 7])
def test_a_connection_counts_until_it_is_closed(world, until):
    world.connected_until = until
    assert world.wait_for_end() == "inactive"
    assert until + LIMIT - 30 <= world.now <= until + LIMIT


def test_a_connection_of_the_last_seconds_prevents_the_end(world):
    world.connected_from, world.connected_until = LIMIT - 1.5, LIMIT
    assert world.wait_for_end() == "inactive"
    assert world.now == 2 * LIMIT
