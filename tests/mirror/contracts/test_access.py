"""What a real server says to a wrong key, a wrong bucket, a wrong clock: the words people get."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from reconcile.mirror.errors import DeniedError, StoreAwayError, StoreError
from reconcile.mirror.store.config import AccessKeys, StoreLocation
from reconcile.mirror.store.credentials import (
    MountedSecretCredentials,
    SecretDirectory,
    StaticCredentials,
)
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3 import S3Store
from tests.s3 import buckets
from tests.s3.access import S3Server

pytestmark = pytest.mark.s3


@pytest.fixture
def where(s3_server: S3Server) -> StoreLocation:
    return s3_server.location(buckets.fresh(s3_server), "team/one/")


def test_a_bucket_that_is_not_there_is_no_missing_object(s3_server: S3Server) -> None:
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


def test_an_unknown_access_key_is_named(s3_server: S3Server, where: StoreLocation) -> None:
    store = S3Store(where, StaticCredentials(replace(s3_server.keys, access_key="AKIANOBODY")))
    with pytest.raises(DeniedError, match="does not know the access key: correct S3_ACCESS_KEY"):
        store.get("HEAD")


def test_a_wrong_secret_key_is_named(s3_server: S3Server, where: StoreLocation) -> None:
    store = S3Store(where, StaticCredentials(replace(s3_server.keys, secret_key="wrong-secret")))
    with pytest.raises(DeniedError, match="correct S3_SECRET_KEY") as caught:
        store.put_if("HEAD", b"", ABSENT)
    assert "wrong-secret" not in str(caught.value)


def test_a_wrong_clock_is_said_with_the_seconds(s3_server: S3Server, where: StoreLocation) -> None:
    store = S3Store(where, s3_server.credentials, lambda: time.time() + 3600)
    with pytest.raises(StoreAwayError, match=r"this one is 3[56]\d\d s ahead of the store's"):
        store.get("HEAD")


def test_bytes_that_are_not_what_the_digest_says_are_refused_by_the_server(
    s3_server: S3Server, where: StoreLocation
) -> None:
    store = S3Store(where, s3_server.credentials)
    with pytest.raises(StoreAwayError, match="what arrived at the store is not what was sent"):
        store.put("packs/one", [b"body"], "0" * 64)
    assert list(store.list("")) == []


def test_keys_that_rotate_are_taken_up_when_the_old_ones_are_refused(
    s3_server: S3Server, where: StoreLocation, tmp_path: Path
) -> None:
    class Late(SecretDirectory):
        """A file system that reports no change."""

        def fingerprint(self) -> object:
            return "never"

    (tmp_path / "S3_ACCESS_KEY").write_text("AKIAOLD\n")
    (tmp_path / "S3_SECRET_KEY").write_text("old")
    store = S3Store(where, MountedSecretCredentials(Late(tmp_path)))
    with pytest.raises(DeniedError):
        store.put_if("HEAD", b"first", ABSENT)
    (tmp_path / "S3_ACCESS_KEY").write_text(f"{s3_server.keys.access_key}\n")
    (tmp_path / "S3_SECRET_KEY").write_text(s3_server.keys.secret_key)
    etag = store.put_if("HEAD", b"first", ABSENT)
    assert store.get("HEAD").etag == etag


def test_keys_of_nobody_say_nothing_of_a_secret() -> None:
    assert "secret" not in repr(AccessKeys("a", "secret", "secret"))
