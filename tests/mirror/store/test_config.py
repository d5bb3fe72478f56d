"""The storage of the project or the shared one; neither replaces the other."""

from pathlib import Path

import pytest

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import (
    AddressingStyle,
    StaticKeyAuth,
    StorageMode,
    WebIdentityAuth,
    parse_storage_config,
    parse_storage_mode,
)
from reconcile.mirror.store.factory import Mounts, StoreOptions, open_store
from reconcile.mirror.store.port import ABSENT
from tests.mirror.store.secrets import mount
from tests.s3 import buckets, recorder
from tests.s3.access import S3Server

COMPLETE = {
    "STORAGE_MODE": "custom",
    "S3_ENDPOINT": "https://minio.example:9000/",
    "S3_BUCKET": "sessions",
    "S3_ACCESS_KEY": "access",
    "S3_SECRET_KEY": "secret",
}


def test_the_default_is_the_shared_storage() -> None:
    assert parse_storage_mode({}) is StorageMode.SHARED
    assert (
        parse_storage_mode({"STORAGE_MODE": "shared", "S3_ENDPOINT": "left over"})
        is StorageMode.SHARED
    )
    assert parse_storage_mode(COMPLETE) is StorageMode.CUSTOM


def test_storage_without_a_mode_is_ambiguous() -> None:
    with pytest.raises(SettingsError, match="has S3_ENDPOINT, S3_BUCKET but no STORAGE_MODE"):
        parse_storage_mode({"S3_ENDPOINT": "https://x", "S3_BUCKET": "y"})


def test_an_unknown_mode_is_reported() -> None:
    with pytest.raises(SettingsError, match="STORAGE_MODE is `Custom`"):
        parse_storage_mode({"STORAGE_MODE": "Custom"})


@pytest.mark.parametrize("name", ["S3_ENDPOINT", "S3_BUCKET", "S3_ACCESS_KEY", "S3_SECRET_KEY"])
@pytest.mark.parametrize("empty", [True, False])
def test_a_missing_value_is_named_and_not_replaced(name: str, *, empty: bool) -> None:
    values = {key: value for key, value in COMPLETE.items() if key != name}
    with pytest.raises(SettingsError, match=f"^{name} missing or empty"):
        parse_storage_config(values | ({name: ""} if empty else {}), web_identity=False)


def test_a_complete_secret_is_parsed() -> None:
    config = parse_storage_config(
        COMPLETE | {"S3_REGION": "eu-west-1", "S3_STYLE": "path"}, web_identity=False
    )
    assert config.location.endpoint == "https://minio.example:9000"
    assert (config.location.bucket, config.location.region) == ("sessions", "eu-west-1")
    assert config.location.style is AddressingStyle.PATH
    assert config.auth == StaticKeyAuth()


@pytest.mark.parametrize(
    ("endpoint", "region", "sts"),
    [
        ("s3.amazonaws.com", "us-east-1", "https://sts.us-east-1.amazonaws.com"),
        (
            "https://s3.eu-central-1.amazonaws.com",
            "eu-central-1",
            "https://sts.eu-central-1.amazonaws.com",
        ),
        ("http://minio:9000", "us-east-1", "http://minio:9000"),
        ("https://[::1]:9000", "us-east-1", "https://[::1]:9000"),
        ("https://[::1]:443", "us-east-1", "https://[::1]"),
        ("http://minio:443", "us-east-1", "http://minio:443"),
    ],
)
def test_the_region_and_sts_follow_from_the_endpoint(endpoint: str, region: str, sts: str) -> None:
    values = {"S3_ENDPOINT": endpoint, "S3_BUCKET": "sessions", "S3_ROLE_ARN": "arn:x"}
    config = parse_storage_config(values, web_identity=True)
    assert config.location.region == region
    assert config.auth == WebIdentityAuth("arn:x", sts)


@pytest.mark.parametrize(
    "endpoint",
    ["ftp://host", "https://", "https://host/path", "https://user:pw@host", "http://host:port"],
)
def test_an_invalid_endpoint_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="S3_ENDPOINT must be like") as caught:
        parse_storage_config(COMPLETE | {"S3_ENDPOINT": endpoint}, web_identity=False)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("S3_BUCKET", "a/b"), ("S3_BUCKET", "x"), ("S3_STYLE", "host")]
)
def test_other_invalid_values_are_reported(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is `{value}`"):
        parse_storage_config(COMPLETE | {name: value}, web_identity=False)


def test_a_store_is_opened_from_mounted_secrets(moto_server: S3Server, tmp_path: Path) -> None:
    values = COMPLETE | {"S3_ENDPOINT": moto_server.url, "S3_BUCKET": buckets.fresh(moto_server)}
    shared = mount(tmp_path / "shared", {**values, "S3_BUCKET": buckets.fresh(moto_server)})
    project = mount(tmp_path / "project", values)
    options = StoreOptions("team/one/", "one")
    mounts = Mounts(project=str(project), shared=str(shared))
    open_store(mounts, options).put_if("HEAD", b"", ABSENT)
    mount(project, {"STORAGE_MODE": "shared"})
    assert list(open_store(mounts, options).list("")) == []
    mount(project, values)
    assert [each.key for each in open_store(mounts, options).list("")] == ["HEAD"]


def test_an_incomplete_custom_storage_is_not_replaced_by_the_shared_one(tmp_path: Path) -> None:
    shared = mount(tmp_path / "shared", COMPLETE)
    project = mount(tmp_path / "project", {"STORAGE_MODE": "custom", "S3_BUCKET": "mine"})
    with pytest.raises(SettingsError, match="S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY missing"):
        open_store(Mounts(str(project), str(shared)), StoreOptions("team/one/", "one"))


def test_shared_storage_that_is_not_mounted_is_reported(tmp_path: Path) -> None:
    project = mount(tmp_path / "project", {"STORAGE_MODE": "shared"})
    with pytest.raises(SettingsError, match="is not mounted"):
        open_store(Mounts(project=str(project)), StoreOptions("team/one/", "one"))


def test_a_missing_ca_file_is_reported(tmp_path: Path) -> None:
    project = mount(tmp_path / "project", COMPLETE)
    with pytest.raises(SettingsError, match=r"the CA file /no/such\.pem does not exist"):
        open_store(Mounts(str(project), ca_file="/no/such.pem"), StoreOptions("team/one/", "one"))


def test_web_identity_uses_the_sts_of_the_endpoint(tmp_path: Path) -> None:
    with recorder.running() as server:
        values = {"STORAGE_MODE": "custom", "S3_ENDPOINT": server.url, "S3_BUCKET": "sessions"}
        project = mount(tmp_path / "project", values)
        (tmp_path / "token").write_text("jwt")
        mounts = Mounts(str(project), token=str(tmp_path / "token"))
        store = open_store(mounts, StoreOptions("team/one/", "fix login/é"))
        with pytest.raises(Exception, match="cannot be read"):
            store.get("HEAD")
        [received] = server.received
    assert (received.method, received.path) == ("POST", "/")
    assert b"RoleSessionName=fix-login--" in received.body
