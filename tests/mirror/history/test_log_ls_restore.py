"""`log`, `ls` and `restore` as a user types them."""

import json

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.mirror_pod import MirrorPod, listing

BIG = b"0123456789abcdef" * (1 << 19)


def test_log_tells_each_generation_with_what_it_changed(desk, author):
    (author.root / "docs" / "1").unlink()
    author.sync()
    assert desk.run("log", "-o", "json") == MirrorExitCode.OK
    told = json.loads(desk.said)["generations"]
    assert [one["generation"] for one in told] == [1, 2, 3, 4]
    assert [one["files"] for one in told] == [1, 2, 3, 2]
    assert [one["changed"]["bytes"] for one in told] == [100, 200, 300, 0]
    assert told[-1]["changed"]["gone"] == 1
    assert {one["writer"]["uid"] for one in told} == {"uid-author"}
    assert all(one["partial"] is None for one in told)


@pytest.mark.usefixtures("author")
def test_log_is_a_table_for_people(desk):
    assert desk.run("log") == MirrorExitCode.OK
    header, *rows = desk.said.splitlines()
    assert header.split() == ["GENERATION", "TIME", "STATE", "FILES", "CHANGED", "WRITER"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert all("whole" in row and "author (epoch 1)" in row for row in rows)


def test_log_of_a_session_that_has_committed_nothing_has_no_rows(desk, tmp_path):
    MirrorPod(tmp_path, "new", desk.store()).hydrate()
    assert desk.run("log") == MirrorExitCode.OK
    assert len(desk.said.splitlines()) == 1


@pytest.mark.parametrize("verb", ["log", "ls", "verify", "gc"])
def test_where_nothing_was_ever_the_prefix_is_questioned(desk, verb):
    assert desk.run(verb) == MirrorExitCode.SNAPSHOT
    assert "--prefix" in desk.errors


@pytest.mark.usefixtures("author")
def test_a_manifest_that_cannot_be_read_is_told_and_the_rest_listed(desk):
    store = desk.store()
    middle = [each.key for each in store.list("manifests/")][1]
    store.put(middle, [b""], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert desk.run("log") == MirrorExitCode.DAMAGED
    assert middle in desk.errors
    assert "damaged" in desk.said
    assert [row.split()[0] for row in desk.said.splitlines()[1:]] == ["1", "3"]
    assert desk.run("ls", "--at=1") == MirrorExitCode.OK
    assert desk.run("ls", "--at=2") == MirrorExitCode.SNAPSHOT


def test_ls_shows_what_is_at_a_path_and_below(desk, author):
    author.write("docs.txt", b"x")
    (author.root / "link").symlink_to("docs/1")
    (author.root / "a\nb").touch()
    author.sync()
    assert desk.run("ls", "docs/") == MirrorExitCode.OK
    assert [line.split()[-1] for line in desk.said.splitlines()] == [
        "docs/",
        "docs/1",
        "docs/2",
        "docs/3",
    ]
    assert desk.run("ls") == MirrorExitCode.OK
    assert "a%0Ab" in desk.said
    assert "link -> docs/1" in desk.said


@pytest.mark.usefixtures("author")
def test_ls_of_an_earlier_generation_is_what_that_one_held(desk):
    assert desk.run("ls", "--at=1", "-o", "json") == MirrorExitCode.OK
    said = json.loads(desk.said)
    assert said["generation"] == 1
    assert [entry["path"] for entry in said["entries"]] == ["docs", "docs/1"]


@pytest.mark.usefixtures("author")
def test_ls_of_a_path_that_is_not_there_says_so(desk):
    assert desk.run("ls", "doc") == MirrorExitCode.SETTINGS
    assert "'doc'" in desk.errors


@pytest.mark.parametrize("at", ["99", "0", "yesterday", "1970-01-01T00:00:00Z", "1" * 50])
@pytest.mark.usefixtures("author")
def test_a_generation_that_is_not_there_is_an_error_that_says_which_are(desk, at):
    assert desk.run("ls", f"--at={at}") == MirrorExitCode.SETTINGS
    assert "generation" in desk.errors


@pytest.mark.usefixtures("author")
def test_a_time_means_the_last_generation_then(desk):
    desk.run("log", "-o", "json")
    times = [one["time"] for one in json.loads(desk.said)["generations"]]
    for number, time in enumerate(times, 1):
        assert desk.run("ls", f"--at={time}", "-o", "json") == MirrorExitCode.OK
        assert json.loads(desk.said)["generation"] == number
    assert desk.run("ls", "--at=9999-01-01T00:00:00+02:00", "-o", "json") == MirrorExitCode.OK
    assert json.loads(desk.said)["generation"] == 3


def test_restore_brings_back_any_generation_whole(desk, author, tmp_path):
    before = listing(author.root)
    author.write("large", BIG)
    (author.root / "docs" / "2").unlink()
    author.sync()
    assert desk.run("restore", "--at=3", tmp_path / "old" / "deep") == MirrorExitCode.OK
    assert listing(tmp_path / "old" / "deep").keys() == before.keys()
    assert (tmp_path / "old" / "deep" / "docs" / "2").read_bytes() == b"2" * 200
    assert desk.run("restore", tmp_path / "new") == MirrorExitCode.OK
    assert listing(tmp_path / "new") == listing(author.root)


def test_restore_never_writes_where_something_is(desk, author):
    assert desk.run("restore", author.root) == MirrorExitCode.WORKSPACE
    assert "not empty" in desk.errors
    assert desk.run("restore", author.root / "docs" / "1") == MirrorExitCode.WORKSPACE


@pytest.mark.usefixtures("author")
def test_looking_writes_nothing_and_needs_no_claim(desk, tmp_path):
    def objects():
        return [(each.key, each.modified, each.size) for each in desk.store().list("")]

    before = objects()
    for words in (["log"], ["ls"], ["verify", "--all"], ["gc"], ["restore", tmp_path / "x"]):
        assert desk.run(*words) == MirrorExitCode.OK
    assert objects() == before
