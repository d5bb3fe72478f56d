"""Credentials are current: read again when they are old, and once after a refusal."""

import pytest

from reconcile.adapters.kube.credentials import (
    TOKEN_REFRESH_SECONDS,
    Credential,
    FixedCredentials,
    KeyPair,
    TokenFile,
)
from reconcile.core.errors import ClusterError, ForbiddenError
from reconcile.core.model import Kind
from tests.adapters.kube.fakes import FakeServer, Reply, status, talking_to
from tests.clocks import FakeClock

UNAUTHORIZED = status(401, "Unauthorized", "Unauthorized")
POD = Kind("v1", "Pod")


def tokens(server):
    return [seen.headers.get("Authorization") for seen in server.seen]


def ask(server, credentials):
    return talking_to(server, credentials).get(POD, "a", "b")


def test_a_token_is_sent_as_bearer():
    server = FakeServer(Reply())
    ask(server, FixedCredentials(Credential("secret")))
    assert tokens(server) == ["Bearer secret"]


def test_without_credentials_nothing_is_sent():
    server = FakeServer(Reply())
    ask(server, FixedCredentials(Credential()))
    assert tokens(server) == [None]


def test_a_fixed_token_that_is_refused_is_not_sent_again():
    server = FakeServer(UNAUTHORIZED)
    with pytest.raises(ForbiddenError):
        ask(server, FixedCredentials(Credential("secret")))
    assert len(server.seen) == 1


def test_a_token_file_is_read_again_every_minute(tmp_path):
    path, clock, server = tmp_path / "token", FakeClock(), FakeServer(Reply())
    credentials = TokenFile(path, Credential(), clock.monotonic)
    path.write_text("one\n")
    ask(server, credentials)
    path.write_text("two")
    ask(server, credentials)
    clock.seconds += TOKEN_REFRESH_SECONDS
    ask(server, credentials)
    assert tokens(server) == ["Bearer one", "Bearer one", "Bearer two"]


def test_a_refused_token_is_read_again_at_once(tmp_path):
    path, server = tmp_path / "token", FakeServer(Reply(), UNAUTHORIZED, Reply())
    credentials = TokenFile(path, Credential(), FakeClock().monotonic)
    path.write_text("one")
    ask(server, credentials)
    path.write_text("two")
    ask(server, credentials)
    assert tokens(server) == ["Bearer one", "Bearer one", "Bearer two"]


def test_a_token_that_stays_refused_is_tried_no_more(tmp_path):
    path, server = tmp_path / "token", FakeServer(UNAUTHORIZED)
    path.write_text("one")
    with pytest.raises(ForbiddenError):
        ask(server, TokenFile(path, Credential(), FakeClock().monotonic))
    assert len(server.seen) == 1


def test_a_second_refusal_is_final(tmp_path):
    path = tmp_path / "token"
    path.write_text("one")

    def rotate():
        path.write_text("two")
        return UNAUTHORIZED

    server = FakeServer(rotate, UNAUTHORIZED)
    with pytest.raises(ForbiddenError):
        ask(server, TokenFile(path, Credential(), FakeClock().monotonic))
    assert tokens(server) == ["Bearer one", "Bearer two"]


def test_a_token_that_another_thread_has_renewed_is_taken_as_it_is(tmp_path):
    path = tmp_path / "token"
    path.write_text("one")
    credentials = TokenFile(path, Credential(), FakeClock().monotonic)
    old = credentials.current()
    path.write_text("two")
    assert credentials.renew(old)
    path.unlink()
    assert credentials.renew(old)
    assert credentials.current().token == "two"


@pytest.mark.parametrize("damage", ["unlink", "empty"])
def test_a_known_token_outlives_its_file(tmp_path, damage):
    path, clock = tmp_path / "token", FakeClock()
    path.write_text("one")
    credentials = TokenFile(path, Credential(), clock.monotonic)
    credentials.current()
    path.unlink() if damage == "unlink" else path.write_text("")
    clock.seconds += TOKEN_REFRESH_SECONDS
    assert credentials.current().token == "one"


def test_without_its_file_the_kubeconfigs_token_is_sent_and_the_certificate_always(tmp_path):
    keys, path = KeyPair(b"c", b"k"), tmp_path / "token"
    credentials = TokenFile(path, Credential("fallback", keys), FakeClock().monotonic)
    assert credentials.current().token == "fallback"
    path.write_text("one")
    assert credentials.renew(credentials.current())
    assert (credentials.current().token, credentials.current().key_pair) == ("one", keys)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the token: No such file"),
        (b"", "the token is empty"),
        (b"one\r\nX-Evil: 1", "has invalid characters"),
        ("tökén".encode(), "has invalid characters"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_a_file_without_a_token_is_named_and_its_text_is_not(tmp_path, content, words):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ClusterError, match=words) as caught:
        TokenFile(path, Credential()).current()
    assert str(caught.value).startswith(f"{path}: ")
    assert "Evil" not in str(caught.value)


def test_secrets_are_in_no_representation():
    assert "canary" not in repr(Credential("canary", KeyPair(b"canary", b"canary")))
