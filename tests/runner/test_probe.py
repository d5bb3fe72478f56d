from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from reconcile.runner.credentials import Credentials
from reconcile.runner.probe import Probe, UnavailableError
from reconcile.runner.remote import RemoteError, parse_remote
from tests.controlplane.ports import free
from tests.runner.applying import Origin
from tests.runner.loopback import serving
from tests.runner.work import git


@contextmanager
def server(status, **headers):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Handler) as url:
        yield f"{url}/team/shop"


def ask(tmp_path, url, should_stop=lambda: False, branch=""):
    probe = Probe(Credentials(tmp_path / "credentials"), tmp_path)
    return probe.find_branch(parse_remote(url, allow_files=True), branch, should_stop)


def test_the_default_branch_is_the_repositorys_own(tmp_path):
    origin = Origin(tmp_path / "origins" / "shop.git")
    assert ask(tmp_path, origin.url) == "trunk"


def test_a_repository_without_a_branch_has_no_default(tmp_path):
    origin = Origin(tmp_path / "origins" / "shop.git")
    git(origin.folder, "checkout", "-q", "--detach")
    assert ask(tmp_path, origin.url) == ""


def test_a_branch_or_tag_that_is_asked_for_must_be_there(tmp_path):
    origin = Origin(tmp_path / "origins" / "shop.git")
    git(origin.folder, "branch", "team/next")
    git(origin.folder, "tag", "v1")
    assert ask(tmp_path, origin.url, branch="team/next") == "team/next"
    assert ask(tmp_path, origin.url, branch="v1") == "v1"
    for absent in ("next", "trun", "refs/heads/trunk"):
        with pytest.raises(RemoteError, match=f"no branch `{absent}`"):
            ask(tmp_path, origin.url, branch=absent)


def test_a_redirect_is_not_followed(tmp_path):
    with (
        server(302, Location="file:///etc") as url,
        pytest.raises(RemoteError, match="redirects are not followed") as caught,
    ):
        ask(tmp_path, url)
    assert not isinstance(caught.value, UnavailableError)


def test_a_private_repository_says_what_to_declare(tmp_path):
    with (
        server(401, WWW_Authenticate="Basic") as url,
        pytest.raises(RemoteError, match="https://"),
    ):
        ask(tmp_path, url)


def test_a_server_that_is_away_may_come_back(tmp_path):
    with pytest.raises(UnavailableError):
        ask(tmp_path, f"http://127.0.0.1:{free(1)[0]}/team/shop")


def test_a_question_ends_when_the_pod_does(tmp_path):
    with server(503) as url, pytest.raises(RemoteError, match="the pod ends"):
        ask(tmp_path, url, lambda: True)
