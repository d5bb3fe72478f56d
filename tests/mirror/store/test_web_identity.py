"""The pod's token becomes keys, in good time and again and again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from reconcile.mirror.errors import DeniedError, SettingsError, StoreAwayError
from reconcile.mirror.store.config import StoreLocation
from reconcile.mirror.store.credentials import WebIdentityCredentials, WebIdentityRole
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from tests.controlplane import ports
from tests.s3 import buckets, recorder
from tests.s3.access import S3Server
from tests.s3.recorder import PreparedResponse, Received, Recorder

START = 1_700_000_000.0


@dataclass(slots=True)
class Sts:
    """Gives keys that hold for an hour from `now` on, numbered."""

    now: float = START
    given: int = 0

    def __call__(self, _received: Received) -> PreparedResponse:
        self.given += 1
        ends = datetime.fromtimestamp(self.now + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>access-{self.given}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            f"<SessionToken>t</SessionToken><Expiration>{ends}</Expiration>"
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )
        return PreparedResponse(body=body.encode())


@pytest.fixture
def server() -> Iterator[Recorder]:
    with recorder.running() as running:
        yield running


@pytest.fixture
def sts(server: Recorder) -> Sts:
    sts = Sts()
    server.answer = sts
    return sts


@pytest.fixture
def token(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("jwt-one\n")
    return token


@pytest.fixture
def identity(server: Recorder, sts: Sts, token: Path) -> WebIdentityCredentials:
    role = WebIdentityRole(token, "arn:aws:iam::1:role/sessions", "fix-login")
    return WebIdentityCredentials(role, StoreLocation(server.url, "sessions"), lambda: sts.now)


def test_the_token_is_exchanged_once_for_many_requests(
    identity: WebIdentityCredentials, server: Recorder
) -> None:
    assert [identity.get_keys().access_key for _ in range(5)] == ["access-1"] * 5
    [received] = server.received
    form = parse_qs(received.body.decode())
    assert form["WebIdentityToken"] == ["jwt-one"]
    assert form["RoleArn"] == ["arn:aws:iam::1:role/sessions"]
    assert form["RoleSessionName"] == ["fix-login"]
    assert "jwt" not in received.path


def test_keys_are_renewed_before_they_end_with_the_token_of_then(
    identity: WebIdentityCredentials, server: Recorder, sts: Sts, token: Path
) -> None:
    identity.get_keys()
    token.write_text("jwt-two")
    sts.now += 3600 - 301
    assert identity.get_keys().access_key == "access-1"
    sts.now += 2
    assert identity.get_keys().access_key == "access-2"
    assert "jwt-two" in server.received[1].body.decode()


def test_refused_keys_are_exchanged_at_once_but_only_once(
    identity: WebIdentityCredentials, sts: Sts
) -> None:
    refused = identity.get_keys()
    assert identity.refresh(refused).access_key == "access-2"
    assert identity.refresh(refused).access_key == "access-2"
    assert sts.given == 2


def test_while_sts_is_away_keys_that_still_hold_are_used(
    identity: WebIdentityCredentials, server: Recorder, sts: Sts
) -> None:
    held = identity.get_keys()
    server.answer = lambda _: PreparedResponse(503)
    sts.now += 3600 - 10
    assert identity.get_keys() == held
    sts.now += 11
    with pytest.raises(StoreAwayError, match=r"AssumeRoleWithWebIdentity\) failed: HTTP 503"):
        identity.get_keys()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("AccessDenied", "does not let this pod be arn:aws:iam::1:role/sessions: HTTP 403"),
        ("ExpiredTokenException", "has expired"),
    ],
)
def test_a_refusal_says_what_to_look_at(
    identity: WebIdentityCredentials, server: Recorder, code: str, words: str
) -> None:
    said = f"<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
    server.answer = lambda _: PreparedResponse(403, body=said.encode())
    with pytest.raises(DeniedError, match=words) as caught:
        identity.get_keys()
    assert "jwt-one" not in str(caught.value)


def test_a_token_that_is_not_there_or_empty_is_named(
    identity: WebIdentityCredentials, token: Path
) -> None:
    token.write_text("")
    with pytest.raises(SettingsError, match="token is empty"):
        identity.get_keys()
    token.unlink()
    with pytest.raises(SettingsError, match="token cannot be read: No such file"):
        identity.get_keys()


def test_nonsense_from_sts_is_asked_for_again(
    identity: WebIdentityCredentials, server: Recorder
) -> None:
    server.answer = lambda _: PreparedResponse(body=b"<html>")
    with pytest.raises(StoreAwayError, match="cannot be read"):
        identity.get_keys()


def test_an_sts_that_nobody_runs_is_said(token: Path) -> None:
    [port] = ports.free(1)
    role = WebIdentityRole(token, "", "fix-login")
    identity = WebIdentityCredentials(
        role, StoreLocation(f"http://127.0.0.1:{port}", "x"), lambda: START
    )
    with pytest.raises(StoreAwayError, match="nobody answers"):
        identity.get_keys()


def test_a_store_works_with_keys_from_a_whole_sts(moto_server: S3Server, token: Path) -> None:
    where = moto_server.location(buckets.fresh(moto_server))
    role = WebIdentityRole(token, "arn:aws:iam::123456789012:role/sessions", "fix-login")
    identity = WebIdentityCredentials(role, where, lambda: datetime.now(UTC).timestamp())
    store = S3Store(where, identity)
    store.put_if("HEAD", b"body", ABSENT)
    assert store.get("HEAD").body == b"body"
    assert identity.get_keys().session_token
