"""Forges on loopback, and a clock that does not wait."""

import pytest

from tests.ci.forges import GitHub, GitLab, serving
from tests.engine.fakes import FakeClock


@pytest.fixture
def github():
    with serving(GitHub()) as forge:
        yield forge


@pytest.fixture
def gitlab():
    with serving(GitLab()) as forge:
        yield forge


@pytest.fixture(params=[GitHub, GitLab])
def forge(request):
    with serving(request.param()) as one:
        yield one


@pytest.fixture
def clock():
    return FakeClock()
