"""Responses of a forge's server, and missing responses."""

import socket

import pytest
import trustme

from reconcile.ci import http
from reconcile.ci.forge import CommentError, TransientCommentError
from reconcile.ci.http import ForgeApi, ForgeClient, ForgeErrorResponse, build_comment_error
from tests.ci.forges import WRITER, Answer
from tests.controlplane.ports import free


def wire_to(url):
    return ForgeClient(ForgeApi(url, {"PRIVATE-TOKEN": WRITER}, {404: "look elsewhere"}))


def refused(code, body=b"", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return build_comment_error(
        ForgeErrorResponse("ask", code, named, body), {404: "look elsewhere"}
    )


def test_a_response_that_is_not_json_is_retried(gitlab):
    gitlab.fail_next("GET", Answer(200, b"<html>a proxy"))
    with pytest.raises(TransientCommentError, match="ask: the response is truncated or not JSON"):
        wire_to(gitlab.url).send("ask", "GET", "/user")


def test_a_server_that_is_silent_may_pass(monkeypatch):
    monkeypatch.setattr(http, "_TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", free(1)[0])) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(TransientCommentError, match="no response from 127"):
            wire_to(url).send("ask", "GET", "/user")


def test_an_untrusted_certificate_is_not_retried(gitlab):
    authority = trustme.CA()
    refuses = pytest.raises(CommentError, match="REQUESTS_CA_BUNDLE")
    with gitlab.behind(authority.issue_cert("127.0.0.1")) as url, refuses as raised:
        wire_to(url).send("ask", "GET", "/user")
    assert not isinstance(raised.value, TransientCommentError)
    assert gitlab.requests == []


def test_the_authority_of_ones_own_is_trusted(gitlab, tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with gitlab.behind(authority.issue_cert("127.0.0.1")) as url:
        assert wire_to(url).send("ask", "GET", "/user")["username"] == "project_12_bot"


def test_an_invalid_url_is_an_error():
    with pytest.raises(CommentError, match=r"the request to .* failed"):
        wire_to("no-url").send("ask", "GET", "/user")


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b'{"message": "Not Found"}', "404 Not Found"),
        (b'{"message": {"note": ["too long"]}}', '404 {"note":["too long"]}'),
        (b'{"error": "insufficient_scope"}', "404 insufficient_scope"),
        (b'{"message": "two\\nlines\\u001b[31m"}', "404 two lines [31m"),
        (b"<html>", "404"),
        (b"[1]", "404"),
        (b"", "404"),
    ],
)
def test_the_server_is_quoted_on_one_line_and_advice_follows(body, quoted):
    assert str(refused(404, body)) == f"ask: {quoted}; look elsewhere"


def test_a_long_message_is_cut():
    said = str(refused(400, b'{"message": "' + b"x" * 9_000 + b'"}'))
    assert len(said) < 300
    assert said.endswith("…")


@pytest.mark.parametrize(
    ("headers", "wish"),
    [
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": "soon"}, 60.0),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1767225600", "date": "now"}, 60.0),
        ({"x_ratelimit_remaining": "0", "x_ratelimit_reset": "soon", "date": "now"}, 60.0),
        ({"x_ratelimit_remaining": "7"}, 60.0),
    ],
)
def test_the_retry_after_of_a_limit_is_read_and_an_invalid_one_means_a_minute(headers, wish):
    assert refused(429, **headers).retry_after == wish
