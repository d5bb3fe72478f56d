"""Keys of a mounted Secret are those that hold now."""

from pathlib import Path

import pytest

from reconcile.mirror.errors import SettingsError
from reconcile.mirror.store.config import Keys
from reconcile.mirror.store.credentials import SecretDirectory, SecretKeys
from tests.mirror.store.secrets import mount


class Counting(SecretDirectory):
    """Counts how often it is read."""

    reads = 0

    def values(self) -> dict[str, str]:
        self.reads += 1
        return dict(super().values())


def test_keys_are_taken_without_the_newline_that_people_leave(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one\n", "S3_SECRET_KEY": " two\r\n"})
    assert SecretKeys(SecretDirectory(tmp_path)).keys() == Keys("one", "two")


def test_keys_are_read_once_and_again_when_the_kubelet_swaps_them(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one", "S3_SECRET_KEY": "two"})
    secret = Counting(tmp_path)
    keys = SecretKeys(secret)
    assert [keys.keys() for _ in range(3)] == [Keys("one", "two")] * 3
    assert secret.reads == 1
    mount(tmp_path, {"S3_ACCESS_KEY": "three", "S3_SECRET_KEY": "four", "S3_SESSION_TOKEN": "five"})
    assert keys.keys() == Keys("three", "four", "five")
    assert secret.reads == 2


def test_keys_written_in_place_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "S3_ACCESS_KEY").write_text("one")
    (tmp_path / "S3_SECRET_KEY").write_text("two")
    keys = SecretKeys(SecretDirectory(tmp_path))
    assert keys.keys() == Keys("one", "two")
    (tmp_path / "S3_SECRET_KEY").write_text("other")
    assert keys.keys() == Keys("one", "other")


def test_refused_keys_are_read_again_at_once(tmp_path: Path) -> None:
    mount(tmp_path, {"S3_ACCESS_KEY": "one", "S3_SECRET_KEY": "two"})
    secret = Counting(tmp_path)
    keys = SecretKeys(secret)
    held = keys.keys()
    assert keys.renewed(held) == held
    assert secret.reads == 2
    mount(tmp_path, {"S3_ACCESS_KEY": "three", "S3_SECRET_KEY": "four"})
    assert keys.renewed(held) == Keys("three", "four")
    # Another thread was refused with the old ones, and is given what is already there.
    assert keys.renewed(held) == Keys("three", "four")
    assert secret.reads == 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"S3_ACCESS_KEY": "one"}, "S3_SECRET_KEY missing"),
        ({"S3_SECRET_KEY": "two", "S3_ACCESS_KEY": " \n"}, "S3_ACCESS_KEY missing or empty"),
        ({"other": "x"}, "S3_ACCESS_KEY and S3_SECRET_KEY missing"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, values: dict[str, str], words: str) -> None:
    mount(tmp_path, values)
    with pytest.raises(SettingsError, match=words) as caught:
        SecretKeys(SecretDirectory(tmp_path)).keys()
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent cannot be read: No such file"):
        SecretKeys(SecretDirectory(tmp_path / "absent")).keys()


def test_a_value_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "S3_ACCESS_KEY").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="S3_ACCESS_KEY cannot be read: it is not text"):
        SecretDirectory(tmp_path).values()
