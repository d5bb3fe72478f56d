"""`verify` finds each kind of damage, and says what it takes away."""

import hashlib
import json

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode

BIG = b"0123456789abcdef" * (1 << 19)


def _put(store, key, body):
    store.put(key, [body], hashlib.sha256(body).hexdigest())


def _damaged(desk):
    return {damage["key"]: damage for damage in json.loads(desk.said)["damaged"]}


def test_a_session_that_is_whole_is_verified_whole(desk, author):
    author.write("large", BIG + b"tail")
    author.sync()
    assert desk.run("verify", "--all", "-o", "json") == MirrorExitCode.OK
    said = json.loads(desk.said)
    assert said["generations"] == [4, 3, 2, 1]
    stored = list(desk.store().list(""))
    ours = [each for each in stored if each.key.startswith(("packs/", "blobs/", "manifests/"))]
    assert said["objects"] == len(ours)
    assert said["bytes"] == sum(each.size for each in ours)


@pytest.mark.parametrize("deed", ["flip", "cut", "delete"])
@pytest.mark.usefixtures("author")
def test_a_damaged_pack_is_told_with_the_paths_that_it_takes(desk, deed):
    store = desk.store()
    packs = [each.key for each in store.list("packs/")]
    for key in packs:
        body = bytearray(store.get(key).body)
        if b"2" * 200 not in body:
            continue
        victim = key
        body[body.index(b"2" * 200)] ^= 1
        if deed == "delete":
            store.delete([key])
        else:
            _put(store, key, bytes(body[:1024]) if deed == "cut" else bytes(body))
    assert desk.run("verify", "--all", "-o", "json") == MirrorExitCode.DAMAGED
    found = _damaged(desk)
    assert found.keys() == {victim}
    assert found[victim]["paths"] == ["docs/2"]
    assert found[victim]["generations"] == [2, 3]
    assert desk.run("verify", "--at=1") == MirrorExitCode.OK
    assert desk.run("verify") == MirrorExitCode.DAMAGED
    assert victim in desk.said
    assert "docs/2" in desk.said


def test_a_damaged_chunk_is_told_with_its_file(desk, author):
    author.write("large", BIG + b"tail")
    author.sync()
    store = desk.store()
    victim = f"blobs/{hashlib.sha256(b'tail').hexdigest()}"
    _put(store, victim, b"tale")
    assert desk.run("verify", "-o", "json") == MirrorExitCode.DAMAGED
    assert _damaged(desk)[victim]["paths"] == ["large"]


@pytest.mark.usefixtures("author")
def test_a_damaged_manifest_takes_its_generations(desk):
    store = desk.store()
    last = [each.key for each in store.list("manifests/")][-1]
    store.delete([last])
    assert desk.run("verify", "-o", "json") == MirrorExitCode.DAMAGED
    assert _damaged(desk)[last]["generations"] == [3]
    assert desk.run("verify", "--all") == MirrorExitCode.DAMAGED
    assert desk.run("verify", "--at=2") == MirrorExitCode.OK


@pytest.mark.usefixtures("author")
def test_a_stray_that_is_no_manifest_is_damage_too(desk):
    _put(desk.store(), "manifests/notes.txt", b"hello")
    assert desk.run("verify", "--all", "-o", "json") == MirrorExitCode.DAMAGED
    assert list(_damaged(desk)) == ["manifests/notes.txt"]


def test_one_generation_and_all_exclude_each_other(desk):
    assert desk.run("verify", "--all", "--at=1") == MirrorExitCode.SETTINGS
