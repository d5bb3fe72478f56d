"""The pod's token is exchanged for keys, which are renewed before they expire."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

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
    """Issues numbered keys that expire an hour after `now`."""

    now: float = START
    issued: int = 0

    def __call__(self, _received: Received) -> PreparedResponse:
        self.issued += 1
        expiration = datetime.fromtimestamp(self.now + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = (
            '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            "<AssumeRoleWithWebIdentityResult><Credentials>"
            f"<AccessKeyId>access-{self.issued}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
            f"<SessionToken>t</SessionToken><Expiration>{expiration}</Expiration>"
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


def test_keys_are_renewed_before_they_expire_with_the_current_token(
    identity: WebIdentityCredentials, server: Recorder, sts: Sts, token: Path
) -> None:
    identity.get_keys()
    token.write_text("jwt-two")
    sts.now += 3600 - 301
    assert identity.get_keys().access_key == "access-1"
    sts.now += 2
    assert identity.get_keys().access_key == "access-2"
    assert "jwt-two" in server.received[1].body.decode()


def test_refused_keys_are_renewed_at_once_but_only_once(
    identity: WebIdentityCredentials, sts: Sts
) -> None:
    refused = identity.get_keys()
    assert identity.refresh(refused).access_key == "access-2"
    assert identity.refresh(refused).access_key == "access-2"
    assert sts.issued == 2


def test_while_sts_is_unavailable_the_current_keys_are_used_until_they_expire(
    identity: WebIdentityCredentials, server: Recorder, sts: Sts
) -> None:
    current = identity.get_keys()
    server.answer = lambda _: PreparedResponse(503)
    sts.now += 3600 - 10
    assert identity.get_keys() == current
    sts.now += 11
    with pytest.raises(StoreAwayError, match=r"AssumeRoleWithWebIdentity\) failed: HTTP 503"):
        identity.get_keys()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "does not let this pod assume arn:aws:iam::1:role/sessions: HTTP 403"),
        ("ExpiredTokenException", "has expired"),
    ],
)
def test_a_refusal_says_what_to_check(
    identity: WebIdentityCredentials, server: Recorder, code: str, message: str
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
    server.answer = lambda _: PreparedResponse(403, body=body.encode())
    with pytest.raises(DeniedError, match=message) as caught:
        identity.get_keys()
    assert "jwt-one" not in str(caught.value)


@pytest.mark.parametrize("cut", [1000, 300])
@pytest.mark.parametrize("element", ["Code", "Message"])
def test_a_refusal_that_repeats_what_was_sent_does_not_show_the_token(
    identity: WebIdentityCredentials, server: Recorder, token: Path, element: str, cut: int
) -> None:
    secret = "".join(chr(ord("A") + number % 26) + str(number) for number in range(200))
    token.write_text(secret)

    def answer(received: Received) -> PreparedResponse:
        sent = escape(received.body.decode()[:cut])
        return PreparedResponse(
            400,
            body=f"<ErrorResponse><Error><{element}>{sent}</{element}></Error>".encode()
            + b"</ErrorResponse>",
        )

    server.answer = answer
    with pytest.raises(DeniedError) as caught:
        identity.get_keys()
    assert "RoleSessionName" in str(caught.value)
    assert not any(secret[at : at + 8] in str(caught.value) for at in range(len(secret) - 7))


@pytest.mark.parametrize("key", ["AKIA&#10;X-Injected: y", "ключ"])
def test_keys_of_sts_that_cannot_be_sent_are_not_used_and_not_shown(
    identity: WebIdentityCredentials, server: Recorder, key: str
) -> None:
    body = (
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
        f"<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        "<Expiration>2026-01-31T12:00:00Z</Expiration>"
        "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    server.answer = lambda _: PreparedResponse(body=body.encode())
    with pytest.raises(StoreAwayError, match="cannot be read") as caught:
        identity.get_keys()
    assert caught.value.__cause__ is None


def test_a_missing_or_empty_token_is_reported(
    identity: WebIdentityCredentials, token: Path
) -> None:
    token.write_text("")
    with pytest.raises(SettingsError, match="token is empty"):
        identity.get_keys()
    token.unlink()
    with pytest.raises(SettingsError, match="token cannot be read: No such file"):
        identity.get_keys()


def test_an_invalid_response_of_sts_can_be_retried(
    identity: WebIdentityCredentials, server: Recorder
) -> None:
    server.answer = lambda _: PreparedResponse(body=b"<html>")
    with pytest.raises(StoreAwayError, match="cannot be read"):
        identity.get_keys()


def test_an_sts_that_does_not_run_is_reported(token: Path) -> None:
    [port] = ports.free(1)
    role = WebIdentityRole(token, "", "fix-login")
    identity = WebIdentityCredentials(
        role, StoreLocation(f"http://127.0.0.1:{port}", "x"), lambda: START
    )
    with pytest.raises(StoreAwayError, match="cannot connect to"):
        identity.get_keys()


def test_a_store_works_with_keys_from_a_real_sts(moto_server: S3Server, token: Path) -> None:
    where = moto_server.location(buckets.fresh(moto_server))
    role = WebIdentityRole(token, "arn:aws:iam::123456789012:role/sessions", "fix-login")
    identity = WebIdentityCredentials(role, where, lambda: datetime.now(UTC).timestamp())
    store = S3Store(where, identity)
    store.put_if("HEAD", b"body", ABSENT)
    assert store.get("HEAD").body == b"body"
    assert identity.get_keys().session_token
