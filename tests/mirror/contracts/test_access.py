"""Messages for wrong keys, a wrong bucket and a wrong clock, from the answers of a real server."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconcile.mirror.errors import DeniedError, StoreAwayError, StoreError
from reconcile.mirror.store.config import AccessKeys, StoreLocation
from reconcile.mirror.store.credentials import (
    MountedSecretCredentials,
    SecretDirectory,
)
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from tests.s3 import buckets
from tests.s3.access import S3Server, StaticCredentials

pytestmark = pytest.mark.s3


@pytest.fixture
def location(s3_server: S3Server) -> StoreLocation:
    return s3_server.location(buckets.fresh(s3_server), "team/one/")


def test_a_missing_bucket_is_not_a_missing_object(s3_server: S3Server) -> None:
    store = S3Store(s3_server.location("no-such-bucket"), s3_server.credentials)
    for request in (
        lambda: store.get("HEAD"),
        lambda: store.put_if("HEAD", b"", ABSENT),
        lambda: list(store.list("")),
        lambda: store.delete(["HEAD"]),
    ):
        with pytest.raises(StoreError, match="there is no bucket no-such-bucket") as caught:
            request()
        assert type(caught.value) is StoreError


def test_an_unknown_access_key_is_named(s3_server: S3Server, location: StoreLocation) -> None:
    store = S3Store(location, StaticCredentials(replace(s3_server.keys, access_key="AKIANOBODY")))
    with pytest.raises(DeniedError, match="does not know the access key: correct S3_ACCESS_KEY"):
        store.get("HEAD")


def test_a_wrong_secret_key_is_named(s3_server: S3Server, location: StoreLocation) -> None:
    store = S3Store(location, StaticCredentials(replace(s3_server.keys, secret_key="wrong-secret")))
    with pytest.raises(DeniedError, match="correct S3_SECRET_KEY") as caught:
        store.put_if("HEAD", b"", ABSENT)
    assert "wrong-secret" not in str(caught.value)


def test_a_wrong_clock_is_reported_with_the_difference(
    s3_server: S3Server, location: StoreLocation
) -> None:
    store = S3Store(location, s3_server.credentials, lambda: time.time() + 3600)
    with pytest.raises(StoreAwayError, match=r"this one is 3[56]\d\d s ahead of the store's"):
        store.get("HEAD")


def test_a_body_with_another_digest_is_refused_by_the_server(
    s3_server: S3Server, location: StoreLocation
) -> None:
    store = S3Store(location, s3_server.credentials)
    with pytest.raises(StoreAwayError, match="the store received other bytes than were sent"):
        store.put("packs/one", [b"body"], "0" * 64)
    assert list(store.list("")) == []


def test_rotated_keys_are_used_when_the_old_ones_are_refused(
    s3_server: S3Server, location: StoreLocation, tmp_path: Path
) -> None:
    class Unnoticed(SecretDirectory):
        """A directory whose changes are not visible."""

        def fingerprint(self) -> object:
            return "never"

    (tmp_path / "S3_ACCESS_KEY").write_text("AKIAOLD\n")
    (tmp_path / "S3_SECRET_KEY").write_text("old")
    store = S3Store(location, MountedSecretCredentials(Unnoticed(tmp_path)))
    with pytest.raises(DeniedError):
        store.put_if("HEAD", b"first", ABSENT)
    (tmp_path / "S3_ACCESS_KEY").write_text(f"{s3_server.keys.access_key}\n")
    (tmp_path / "S3_SECRET_KEY").write_text(s3_server.keys.secret_key)
    etag = store.put_if("HEAD", b"first", ABSENT)
    assert store.get("HEAD").etag == etag


def test_the_repr_of_keys_contains_no_secret() -> None:
    assert "secret" not in repr(AccessKeys("a", "secret", "secret"))
