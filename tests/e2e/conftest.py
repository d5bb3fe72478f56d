"""A separate site for each test."""

from pathlib import Path

import pytest

from tests.controlplane.access import ControlPlane
from tests.e2e import site as sites
from tests.e2e.site import Site


@pytest.fixture
def site(control_plane: ControlPlane, tmp_path: Path) -> Site:
    return sites.make(control_plane, tmp_path)


@pytest.fixture
def collected_site(with_controllers: ControlPlane, tmp_path: Path) -> Site:
    """A site on a server with garbage collection."""
    return sites.make(with_controllers, tmp_path)
