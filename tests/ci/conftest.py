"""Forges on loopback, and a clock that does not wait."""

import json

import pytest

from reconcile.ci.environment import TOKEN_VARIABLE, detect_job
from tests.ci.forges import WRITER, GitHub, GitLab, serving
from tests.ci.jobs import BASE, Scene
from tests.clocks import FakeClock


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


@pytest.fixture
def scene(tmp_path, clock):
    return Scene(tmp_path, clock)


@pytest.fixture
def job(github, tmp_path):
    def made(token=WRITER, head_repo=1):
        pull = {"number": 5, "base": {"sha": BASE, "repo": {"id": 1}}}
        pull["head"] = {"repo": {"id": head_repo}}
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"pull_request": pull}))
        return detect_job(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_EVENT_NAME": "pull_request",
                "GITHUB_EVENT_PATH": str(event),
                "GITHUB_REPOSITORY": "acme/sessions",
                "GITHUB_API_URL": github.url,
                "GITHUB_GRAPHQL_URL": f"{github.url}/graphql",
                TOKEN_VARIABLE: token,
            }
        )

    return made
