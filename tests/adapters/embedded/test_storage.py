"""The state file: shared by processes, written atomically, never another program's file."""

import itertools
import json
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.adapters.embedded.storage import StateFile
from reconcile.core.errors import ClusterError, ConflictError
from tests.builders import ref_of_object
from tests.contracts.bodies import (
    CONFIG_MAP,
    OURS,
    POD,
    config_map,
    exists,
    owner,
    pod,
    uid,
    version,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.json"


@pytest.fixture
def opened(path, settings):
    """Opens the file again, as another process would."""
    return lambda: EmbeddedCluster(path, settings)


def names(cluster):
    return [obj["metadata"]["name"] for obj in cluster.list(CONFIG_MAP, "n", {})]


def content(path):
    return json.loads(path.read_text())


def test_without_a_file_the_cluster_is_empty_and_reading_makes_none(opened, path):
    assert names(opened()) == []
    assert not path.exists()


def test_the_file_is_a_list_of_objects(opened, path):
    applied = opened().apply(config_map("n", data={"a": "é"}), OURS)
    assert content(path)["kind"] == "List"
    assert content(path)["items"] == [applied]
    assert "é" in path.read_text()


def test_another_process_finds_what_was_written(opened):
    applied = opened().apply(config_map("n"), OURS)
    assert opened().get(CONFIG_MAP, "n", "one") == applied


def test_two_that_have_it_open_see_each_others_writes(opened):
    one, two = opened(), opened()
    first = one.apply(config_map("n", data={"a": "1"}), OURS)
    second = two.apply(config_map("n", data={"a": "2"}), OURS)
    assert one.get(CONFIG_MAP, "n", "one") == second
    stale = {"uid": uid(first), "resourceVersion": version(first)}
    with pytest.raises(ConflictError):
        one.apply(config_map("n", metadata=stale), OURS)


def test_versions_go_on_growing_when_the_latest_object_is_gone(opened):
    applied = opened().apply(config_map("n"), OURS)
    opened().delete(CONFIG_MAP, ref_of_object(applied), uid(applied))
    again = opened().apply(config_map("n"), OURS)
    assert int(version(again)) > int(version(applied))


def test_reading_and_refused_and_dry_writes_leave_the_file_alone(opened, path):
    cluster = opened()
    applied = cluster.apply(config_map("n"), OURS)
    cluster.apply(pod("n"), OURS)
    list(opened().list(POD, "n", {}))
    before = path.stat()
    other = opened()
    list(other.list(POD, "n", {}))
    list(other.metadata(POD, "n"))
    other.apply(config_map("n"), OURS)
    other.apply(config_map("n", data={"a": "1"}), type(OURS)("reconcile", dry_run=True))
    with pytest.raises(ConflictError):
        other.delete(CONFIG_MAP, ref_of_object(applied), "another")
    after = path.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_an_edit_of_the_file_by_hand_is_seen(opened, path):
    cluster = opened()
    cluster.apply(config_map("n", data={"a": "1"}), OURS)
    state = content(path)
    state["items"][0]["data"]["a"] = "changed by hand"
    path.write_text(json.dumps(state))
    assert cluster.get(CONFIG_MAP, "n", "one")["data"] == {"a": "changed by hand"}


def test_objects_written_by_hand_are_given_what_they_lack(opened, path):
    path.write_text(json.dumps({"items": [config_map("n"), config_map("n", "two")]}))
    listed = list(opened().list(CONFIG_MAP, "n", {}))
    assert len({uid(obj) for obj in listed} | {version(obj) for obj in listed}) == 4


def test_orphans_in_the_file_are_collected(opened, path):
    record = opened().apply(config_map("n", "record"), OURS)
    owned = config_map("n", "owned", metadata={"ownerReferences": [owner(record)]})
    opened().apply(owned, OURS)
    state = content(path)
    state["items"] = [each for each in state["items"] if each["metadata"]["name"] == "owned"]
    path.write_text(json.dumps(state))
    assert names(opened()) == []


def test_pods_run_by_themselves_and_in_every_process(opened, clock):
    opened().apply(pod("n", activeDeadlineSeconds=60), OURS)
    assert opened().get(POD, "n", "one")["status"]["phase"] == "Running"
    clock.seconds += 60
    assert opened().get(POD, "n", "one")["status"]["phase"] == "Failed"


def test_a_pod_that_is_deleted_vanishes(opened):
    applied = opened().apply(pod("n"), OURS)
    opened().delete(POD, ref_of_object(applied), uid(applied))
    assert not exists(opened(), applied)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("apiVersion: v1", "not JSON"),
        ("[]", 'no list "items"'),
        ('{"items": {}}', 'no list "items"'),
        ('{"items": [1]}', r"items\[0\]"),
        ('{"items": [{"metadata": {"name": "a"}}]}', r"items\[0\]"),
        (
            '{"items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": ""}}]}',
            r"items\[0\]",
        ),
    ],
)
def test_another_programs_file_is_refused_by_name_and_never_touched(opened, path, text, reason):
    path.write_text(text)
    for use in (names, lambda cluster: cluster.apply(config_map("n"), OURS)):
        with pytest.raises(ClusterError, match=reason) as refused:
            use(opened())
        assert str(path) in str(refused.value)
    assert path.read_text() == text


def test_a_file_that_breaks_while_it_is_used_is_refused_too(opened, path):
    cluster = opened()
    cluster.apply(config_map("n"), OURS)
    path.write_text("{")
    with pytest.raises(ClusterError, match="not JSON"):
        names(cluster)
    path.unlink()
    assert names(cluster) == []


def test_a_folder_that_is_not_there_is_named(tmp_path, settings):
    cluster = EmbeddedCluster(tmp_path / "absent" / "state.json", settings)
    assert names(cluster) == []
    with pytest.raises(ClusterError, match=r"absent/state\.json: the state file cannot be locked"):
        cluster.apply(config_map("n"), OURS)


def test_a_folder_in_the_files_place_is_named(tmp_path, settings):
    with pytest.raises(ClusterError, match="cannot be read: Is a directory"):
        names(EmbeddedCluster(tmp_path, settings))


def test_a_state_that_cannot_be_written_is_an_error_and_leaves_no_litter(path, tmp_path):
    def objects():
        yield b"{}"
        raise OSError(28, "No space left on device")

    with pytest.raises(ClusterError, match="cannot be written: No space left"):
        StateFile(path).write_draft(1, objects())
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_put_in_place_is_an_error_and_leaves_no_litter(opened, path):
    cluster = opened()
    cluster.apply(config_map("n"), OURS)
    file = StateFile(path)
    draft = file.write_draft(1, [])
    path.unlink()
    path.mkdir()
    with pytest.raises(ClusterError, match="cannot be written: Is a directory"):
        file.commit(draft)
    assert not draft.exists()


def write_many(path, prefix):
    cluster = EmbeddedCluster(path)
    for number in range(20):
        cluster.apply(config_map("n", f"{prefix}-{number}"), OURS)


def test_processes_that_write_at_once_lose_nothing(path):
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=write_many, args=(path, prefix)) for prefix in "ab"]
    for each in others:
        each.start()
    write_many(path, "c")
    for each in others:
        each.join()
    assert [each.exitcode for each in others] == [0, 0]
    expected = {f"{prefix}-{number}" for prefix, number in itertools.product("abc", range(20))}
    assert set(names(EmbeddedCluster(path))) == expected


def test_threads_that_write_at_once_lose_nothing(path, opened):
    cluster = opened()
    everybody = threading.Barrier(8)

    def write(worker):
        everybody.wait()
        return [cluster.apply(config_map("n", f"{worker}-{n}"), OURS) for n in range(10)]

    with ThreadPoolExecutor(8) as pool:
        written = [obj for listed in pool.map(write, range(8)) for obj in listed]
    assert len({version(obj) for obj in written}) == 80
    assert {obj["metadata"]["name"]: obj for obj in content(path)["items"]} == {
        obj["metadata"]["name"]: obj for obj in written
    }


def test_a_pipe_or_a_device_in_the_files_place_is_refused_and_stays(tmp_path, settings):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ClusterError, match="cannot be read: it is not a regular file"):
            names(EmbeddedCluster(path, settings))
    assert pipe.is_fifo()
