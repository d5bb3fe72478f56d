"""A pod whose process is about to end."""

import pytest

from tests.mirror.sidecar.stage import Stage


@pytest.fixture
def stage(pod):
    return Stage(pod)
