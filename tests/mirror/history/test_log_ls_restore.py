"""`log`, `ls` and `restore` on the command line."""

import json

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.mirror_pod import MirrorPod, listing

BIG = b"0123456789abcdef" * (1 << 19)


def test_log_lists_each_generation_with_its_changes(cli, author):
    (author.root / "docs" / "1").unlink()
    author.sync()
    assert cli.run("log", "-o", "json") == MirrorExitCode.OK
    entries = json.loads(cli.output)["generations"]
    assert [entry["generation"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["files"] for entry in entries] == [1, 2, 3, 2]
    assert [entry["changed"]["bytes"] for entry in entries] == [100, 200, 300, 0]
    assert entries[-1]["changed"]["gone"] == 1
    assert {entry["writer"]["uid"] for entry in entries} == {"uid-author"}
    assert all(entry["partial"] is None for entry in entries)


@pytest.mark.usefixtures("author")
def test_log_is_a_table_for_people(cli):
    assert cli.run("log") == MirrorExitCode.OK
    header, *rows = cli.output.splitlines()
    assert header.split() == ["GENERATION", "TIME", "STATE", "FILES", "CHANGED", "WRITER"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all("complete" in row and "author (epoch 1)" in row for row in rows)


def test_log_of_a_session_that_has_committed_nothing_has_no_rows(cli, tmp_path):
    MirrorPod(tmp_path, "new", cli.store()).hydrate()
    assert cli.run("log") == MirrorExitCode.OK
    assert len(cli.output.splitlines()) == 1


@pytest.mark.parametrize("verb", ["log", "ls", "verify", "gc"])
def test_a_prefix_without_head_is_an_error_that_names_prefix(cli, verb):
    assert cli.run(verb) == MirrorExitCode.SNAPSHOT
    assert "--prefix" in cli.errors


@pytest.mark.usefixtures("author")
def test_an_unreadable_manifest_is_reported_and_the_rest_listed(cli):
    store = cli.store()
    middle = [each.key for each in store.list("manifests/")][1]
    store.put(middle, [b""], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert cli.run("log") == MirrorExitCode.DAMAGED
    assert middle in cli.errors
    assert "damaged" in cli.output
    assert [row.split()[0] for row in cli.output.splitlines()[1:]] == ["1", "3"]
    assert cli.run("ls", "--at=1") == MirrorExitCode.OK
    assert cli.run("ls", "--at=2") == MirrorExitCode.SNAPSHOT


@pytest.mark.usefixtures("author")
def test_a_missing_manifest_is_damage_for_the_log(cli):
    store = cli.store()
    last = [each.key for each in store.list("manifests/")][-1]
    store.delete([last])
    assert cli.run("log") == MirrorExitCode.DAMAGED
    assert f"{last} is missing" in cli.output


def test_ls_lists_a_path_and_everything_below_it(cli, author):
    author.write("docs.txt", b"x")
    (author.root / "link").symlink_to("docs/1")
    (author.root / "a\nb").touch()
    author.sync()
    assert cli.run("ls", "docs/") == MirrorExitCode.OK
    assert [line.split()[-1] for line in cli.output.splitlines()] == [
        "docs/",
        "docs/1",
        "docs/2",
        "docs/3",
    ]
    assert cli.run("ls") == MirrorExitCode.OK
    assert "a%0Ab" in cli.output
    assert "link -> docs/1" in cli.output


@pytest.mark.usefixtures("author")
def test_ls_lists_an_earlier_generation(cli):
    assert cli.run("ls", "--at=1", "-o", "json") == MirrorExitCode.OK
    result = json.loads(cli.output)
    assert result["generation"] == 1
    assert [entry["path"] for entry in result["entries"]] == ["docs", "docs/1"]


@pytest.mark.usefixtures("author")
def test_ls_of_a_missing_path_is_an_error(cli):
    assert cli.run("ls", "doc") == MirrorExitCode.SETTINGS
    assert "'doc'" in cli.errors


@pytest.mark.parametrize("at", ["99", "0", "yesterday", "1970-01-01T00:00:00Z", "1" * 50])
@pytest.mark.usefixtures("author")
def test_a_missing_generation_is_an_error_that_names_the_existing_ones(cli, at):
    assert cli.run("ls", f"--at={at}") == MirrorExitCode.SETTINGS
    assert "generation" in cli.errors


@pytest.mark.usefixtures("author")
def test_a_time_selects_the_last_generation_at_that_time(cli):
    cli.run("log", "-o", "json")
    times = [entry["time"] for entry in json.loads(cli.output)["generations"]]
    for number, time in enumerate(times, 1):
        assert cli.run("ls", f"--at={time}", "-o", "json") == MirrorExitCode.OK
        assert json.loads(cli.output)["generation"] == number
    assert cli.run("ls", "--at=9999-01-01T00:00:00+02:00", "-o", "json") == MirrorExitCode.OK
    assert json.loads(cli.output)["generation"] == 3


def test_restore_writes_any_generation_completely(cli, author, tmp_path):
    before = listing(author.root)
    author.write("large", BIG)
    (author.root / "docs" / "2").unlink()
    author.sync()
    assert cli.run("restore", "--at=3", tmp_path / "old" / "deep") == MirrorExitCode.OK
    assert listing(tmp_path / "old" / "deep").keys() == before.keys()
    assert (tmp_path / "old" / "deep" / "docs" / "2").read_bytes() == b"2" * 200
    assert cli.run("restore", tmp_path / "new") == MirrorExitCode.OK
    assert listing(tmp_path / "new") == listing(author.root)


def test_restore_never_writes_into_a_directory_with_content(cli, author):
    assert cli.run("restore", author.root) == MirrorExitCode.WORKSPACE
    assert "not empty" in cli.errors
    assert cli.run("restore", author.root / "docs" / "1") == MirrorExitCode.WORKSPACE


@pytest.mark.usefixtures("author")
def test_read_commands_write_nothing_and_need_no_claim(cli, tmp_path):
    def objects():
        return [(each.key, each.modified, each.size) for each in cli.store().list("")]

    before = objects()
    for words in (["log"], ["ls"], ["verify", "--all"], ["gc"], ["restore", tmp_path / "x"]):
        assert cli.run(*words) == MirrorExitCode.OK
    assert objects() == before
