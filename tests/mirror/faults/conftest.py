"""A session before each server."""

import pytest

from tests.mirror.faults import faulty_session


@pytest.fixture(params=["moto", pytest.param("s3", marks=pytest.mark.s3)])
def session(request, tmp_path):
    """A session of its own for each test, before moto and before the real server."""
    with faulty_session.session(
        request.getfixturevalue(f"{request.param}_server"), tmp_path
    ) as found:
        yield found


@pytest.fixture
def real(s3_server, tmp_path):
    """A session before the real server."""
    with faulty_session.session(s3_server, tmp_path) as found:
        yield found
