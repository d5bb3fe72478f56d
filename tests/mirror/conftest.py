"""Pods before one bucket in memory."""

import pytest

from tests.mirror.memory_store import MemoryStore
from tests.mirror.worlds import Pod, Script


@pytest.fixture
def memory():
    return MemoryStore()


@pytest.fixture
def script(memory):
    script = Script()
    memory.bucket.fault = script.fault
    return script


@pytest.fixture
def pod(tmp_path, memory):
    """A pod that has claimed a new session."""
    first = Pod(tmp_path, "one", memory)
    first.hydrate()
    memory.bucket.requests.clear()
    return first


@pytest.fixture
def successor(tmp_path, memory):
    """A pod that has done nothing yet."""
    return Pod(tmp_path, "two", memory)
