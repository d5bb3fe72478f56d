"""Keys of a mounted Secret follow its changes."""

from pathlib import Path

import pytest

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import AccessKeys
from reconcile.mirror.store.credentials import MountedSecretCredentials, SecretDirectory
from tests.mirror.store.secrets import mount


class Counting(SecretDirectory):
    """Counts how often it is read."""

    reads = 0

    def read_values(self) -> dict[str, str]:
        self.reads += 1
        return dict(super().read_values())


def test_surrounding_whitespace_is_removed_from_keys(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one\n", "S3_SECRET_KEY": " two\r\n"})
    assert MountedSecretCredentials(SecretDirectory(tmp_path)).get_keys() == AccessKeys(
        "one", "two"
    )


def test_keys_are_read_once_and_again_after_an_update_by_the_kubelet(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one", "S3_SECRET_KEY": "two"})
    secret = Counting(tmp_path)
    keys = MountedSecretCredentials(secret)
    assert [keys.get_keys() for _ in range(3)] == [AccessKeys("one", "two")] * 3
    assert secret.reads == 1
    mount(tmp_path, {"S3_ACCESS_KEY": "three", "S3_SECRET_KEY": "four", "S3_SESSION_TOKEN": "five"})
    assert keys.get_keys() == AccessKeys("three", "four", "five")
    assert secret.reads == 2


def test_keys_written_in_place_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "S3_ACCESS_KEY").write_text("one")
    (tmp_path / "S3_SECRET_KEY").write_text("two")
    keys = MountedSecretCredentials(SecretDirectory(tmp_path))
    assert keys.get_keys() == AccessKeys("one", "two")
    (tmp_path / "S3_SECRET_KEY").write_text("other")
    assert keys.get_keys() == AccessKeys("one", "other")


def test_refused_keys_are_read_again_at_once(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one", "S3_SECRET_KEY": "two"})
    secret = Counting(tmp_path)
    keys = MountedSecretCredentials(secret)
    rejected = keys.get_keys()
    assert keys.refresh(rejected) == rejected
    assert secret.reads == 2
    mount(tmp_path, {"S3_ACCESS_KEY": "three", "S3_SECRET_KEY": "four"})
    assert keys.refresh(rejected) == AccessKeys("three", "four")
    # The old keys of another thread were refused too: it gets the new ones without a read.
    assert keys.refresh(rejected) == AccessKeys("three", "four")
    assert secret.reads == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"S3_ACCESS_KEY": "one"}, "S3_SECRET_KEY missing"),
        ({"S3_SECRET_KEY": "two", "S3_ACCESS_KEY": " \n"}, "S3_ACCESS_KEY missing or empty"),
        ({"other": "x"}, "S3_ACCESS_KEY and S3_SECRET_KEY missing"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, values: dict[str, str], message: str) -> None:
    mount(tmp_path, values)
    with pytest.raises(SettingsError, match=message) as caught:
        MountedSecretCredentials(SecretDirectory(tmp_path)).get_keys()
    assert str(tmp_path) in str(caught.value)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent cannot be read: No such file"):
        MountedSecretCredentials(SecretDirectory(tmp_path / "absent")).get_keys()


def test_a_value_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "S3_ACCESS_KEY").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="S3_ACCESS_KEY cannot be read: it is not text"):
        SecretDirectory(tmp_path).read_values()
