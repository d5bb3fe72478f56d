"""The storage of the project or the shared one; neither replaces the other."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import (
    AccessKeys,
    AddressingStyle,
    Proxy,
    StaticKeyAuth,
    StorageMode,
    WebIdentityAuth,
    check_access_keys,
    parse_storage_config,
    parse_storage_mode,
)
from reconcile.mirror.store.credentials import MountedSecretCredentials, SecretDirectory
from reconcile.mirror.store.factory import Mounts, StoreOptions, open_store
from reconcile.mirror.store.port import ABSENT
from reconcile.mirror.store.s3_url import locate_bucket
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
    with pytest.raises(SettingsError, match="STORAGE_MODE must be `shared` or `custom`"):
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
    with pytest.raises(SettingsError, match=f"^{name} (is not|must be)"):
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


BAD_VALUES = [
    *[
        ("S3_ENDPOINT", value)
        for value in ("http://[::1", "http://h:99999", "http://h h", "h\tt", "http://a..b", "://")
    ],
    *[("S3_ENDPOINT", value) for value in ("http://:pw@h", "https://höst", "http://h:0", "h?x")],
    *[("S3_STS_ENDPOINT", value) for value in ("http://[::1", "sts/path", "ftp://sts")],
    *[("S3_PROXY", value) for value in ("socks5://127.0.0.1:1080", "://", "http://u:p@[::1]:x")],
    *[
        ("S3_PROXY", value)
        for value in ("http://h:99999", "http://ü:p@h", "http://u:a/b@h", "h\nX")
    ],
    *[("S3_REGION", value) for value in ("eu central", "us\r\nX: y", "Übersee", "-", "eu/west")],
    *[("S3_BUCKET", value) for value in ("tenant:bucket", "a..b", "a" * 64, "büro", "a\nb")],
    *[("S3_STYLE", value) for value in ("Path", "auto\nauto", "ä")],
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_is_reported_by_the_name_of_its_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} ") as caught:
        parse_storage_config(COMPLETE | {name: value}, web_identity=True)
    assert len(value) < 4 or value not in str(caught.value)


def settings_error(values: dict[str, str]) -> str:
    keys = ("S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_SESSION_TOKEN")
    try:
        locate_bucket(parse_storage_config(values, web_identity=True).location)
        check_access_keys(AccessKeys(*(values.get(key, "") for key in keys)))
    except SettingsError as error:
        return str(error)
    return ""


SETTINGS = (
    "S3_ENDPOINT",
    "S3_BUCKET",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
    "S3_REGION",
    "S3_STYLE",
    "S3_PROXY",
    "S3_CA",
    "S3_ROLE_ARN",
    "S3_STS_ENDPOINT",
    "S3_SESSION_TOKEN",
)


@given(
    st.sampled_from(SETTINGS),
    st.text(max_size=30) | st.builds("http://{}".format, st.text(max_size=20)),
)
def test_any_value_is_accepted_or_reported_by_its_name(name: str, value: str) -> None:
    message = settings_error(COMPLETE | {name: value})
    assert not message or name in message


@pytest.mark.parametrize(
    ("text", "url", "login"),
    [
        ("127.0.0.1:3128", "http://127.0.0.1:3128", ""),
        ("http://user:p%40ss@proxy:3128/", "http://proxy:3128", "user:p@ss"),
        ("https://user:p@ss@[::1]:3128", "https://[::1]:3128", "user:p@ss"),
    ],
)
def test_the_login_of_a_proxy_is_kept_apart_from_its_address(
    text: str, url: str, login: str
) -> None:
    location = parse_storage_config(COMPLETE | {"S3_PROXY": text}, web_identity=False).location
    assert location.proxy == Proxy(url, login)
    assert not login or login not in repr(location)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_ACCESS_KEY", "AKIA\nX"),
        ("S3_ACCESS_KEY", "ключ"),
        ("S3_SECRET_KEY", "wJalr\nX"),
        ("S3_SESSION_TOKEN", "to ken"),
        ("S3_SESSION_TOKEN", "tök€n"),
    ],
)
def test_a_key_that_cannot_be_sent_is_reported_without_it(
    tmp_path: Path, name: str, value: str
) -> None:
    secret = mount(tmp_path / "secret", COMPLETE | {name: value})
    with pytest.raises(SettingsError, match=f"^{name} has") as caught:
        MountedSecretCredentials(SecretDirectory(secret)).get_keys()
    assert value[:4] not in str(caught.value)


def test_a_file_without_certificates_is_reported(tmp_path: Path) -> None:
    project = mount(tmp_path / "project", COMPLETE | {"S3_CA": "this is no PEM"})
    with pytest.raises(SettingsError, match=r"is not a list of certificates.*S3_CA"):
        open_store(Mounts(str(project)), StoreOptions("team/one/", "one"))
    mount(project, COMPLETE | {"S3_CA": ""})
    open_store(Mounts(str(project)), StoreOptions("team/one/", "one"))
