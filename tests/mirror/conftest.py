"""Pods that share one bucket in memory."""

import pytest

from tests.mirror.memory_store import FaultScript, MemoryStore
from tests.mirror.mirror_pod import MirrorPod


@pytest.fixture
def memory():
    return MemoryStore()


@pytest.fixture
def script(memory):
    script = FaultScript()
    memory.bucket.fault = script.fault
    return script


@pytest.fixture
def pod(tmp_path, memory):
    """A pod that has claimed a new session."""
    first = MirrorPod(tmp_path, "one", memory)
    first.hydrate()
    memory.bucket.requests.clear()
    return first


@pytest.fixture
def successor(tmp_path, memory):
    """A pod that has not hydrated yet."""
    return MirrorPod(tmp_path, "two", memory)
