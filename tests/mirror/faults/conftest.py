"""Sessions whose requests pass a proxy that injects faults."""

import pytest

from tests.mirror.faults import faulty_session


@pytest.fixture
def session(any_server, tmp_path):
    """A session of its own for each test."""
    with faulty_session.session(any_server, tmp_path) as found:
        yield found


@pytest.fixture
def real(s3_server, tmp_path):
    """A session before the real server."""
    with faulty_session.session(s3_server, tmp_path) as found:
        yield found
