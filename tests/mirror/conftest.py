"""Pods that share one bucket in memory."""

import pytest

from tests.mirror.memory_store import FaultScript, MemoryStore
from tests.mirror.mirror_pod import MirrorPod
from tests.s3.access import S3Server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let `any_server` be the real server, and moto only where `-m` excludes the real one."""
    if "any_server" in metafunc.fixturenames:
        excluded = "not s3" in metafunc.config.getoption("markexpr")
        server = "moto" if excluded else pytest.param("s3", marks=pytest.mark.s3)
        metafunc.parametrize("any_server", [server], indirect=True)


@pytest.fixture
def any_server(request: pytest.FixtureRequest) -> S3Server:
    """A server for tests to which it makes no difference, such as those behind a faulty proxy."""
    server: S3Server = request.getfixturevalue(f"{request.param}_server")
    return server


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
