"""A separate site for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.access import ControlPlane
from tests.e2e import embedded_site, running
from tests.e2e import site as sites
from tests.e2e.running import RunningSession
from tests.e2e.site import Site
from tests.runner import git_server
from tests.runner.git_server import GitServer


@pytest.fixture
def site(control_plane: ControlPlane, tmp_path: Path) -> Site:
    return sites.make(control_plane, tmp_path)


@pytest.fixture
def collected_site(with_controllers: ControlPlane, tmp_path: Path) -> Site:
    """A site on a server with garbage collection."""
    return sites.make(with_controllers, tmp_path)


@pytest.fixture
def git(tmp_path: Path) -> Iterator[GitServer]:
    with git_server.serving(tmp_path / "git") as server:
        yield server


@pytest.fixture
def session(
    request: pytest.FixtureRequest, tmp_path: Path, git: GitServer
) -> Iterator[RunningSession]:
    """The session whose pod runs here; `request.param` is the sidecars and the user ids.

    Native sidecars need a newer API server than the real one.
    """
    sidecar, user_ids = getattr(request, "param", ("plain", "fixed"))
    capabilities = {"sidecar": sidecar, "userIds": user_ids}
    if sidecar == "native":
        site, server = embedded_site.make(tmp_path), request.getfixturevalue("moto_server")
    else:
        site, server = request.getfixturevalue("site"), request.getfixturevalue("s3_server")
    with running.opened(site, server, git, tmp_path, capabilities=capabilities) as opened:
        yield opened
