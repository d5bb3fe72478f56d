"""`verify` finds each kind of damage, and reports what is affected."""

import hashlib
import json

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode

BIG = b"0123456789abcdef" * (1 << 19)


def _put(store, key, body):
    store.put(key, [body], hashlib.sha256(body).hexdigest())


def _damaged(cli):
    return {damage["key"]: damage for damage in json.loads(cli.output)["damaged"]}


def test_an_undamaged_session_is_verified(cli, author):
    author.write("large", BIG + b"tail")
    author.sync()
    assert cli.run("verify", "--all", "-o", "json") == MirrorExitCode.OK
    result = json.loads(cli.output)
    assert result["generations"] == [4, 3, 2, 1]
    stored = list(cli.store().list(""))
    ours = [each for each in stored if each.key.startswith(("packs/", "blobs/", "manifests/"))]
    assert result["objects"] == len(ours)
    assert result["bytes"] == sum(each.size for each in ours)


@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
@pytest.mark.usefixtures("author")
def test_a_damaged_pack_is_reported_with_its_paths(cli, damage):
    store = cli.store()
    packs = [each.key for each in store.list("packs/")]
    for key in packs:
        body = bytearray(store.get(key).body)
        if b"2" * 200 not in body:
            continue
        victim = key
        body[body.index(b"2" * 200)] ^= 1
        if damage == "delete":
            store.delete([key])
        else:
            _put(store, key, bytes(body[:1024]) if damage == "cut" else bytes(body))
    assert cli.run("verify", "--all", "-o", "json") == MirrorExitCode.DAMAGED
    found = _damaged(cli)
    assert found.keys() == {victim}
    assert found[victim]["paths"] == ["docs/2"]
    assert found[victim]["generations"] == [2, 3]
    assert cli.run("verify", "--at=1") == MirrorExitCode.OK
    assert cli.run("verify") == MirrorExitCode.DAMAGED
    assert victim in cli.output
    assert "docs/2" in cli.output


def test_a_damaged_chunk_is_reported_with_its_file(cli, author):
    author.write("large", BIG + b"tail")
    author.sync()
    store = cli.store()
    victim = f"blobs/{hashlib.sha256(b'tail').hexdigest()}"
    _put(store, victim, b"tale")
    assert cli.run("verify", "-o", "json") == MirrorExitCode.DAMAGED
    assert _damaged(cli)[victim]["paths"] == ["large"]


@pytest.mark.usefixtures("author")
def test_a_damaged_manifest_affects_its_generations(cli):
    store = cli.store()
    last = [each.key for each in store.list("manifests/")][-1]
    store.delete([last])
    assert cli.run("verify", "-o", "json") == MirrorExitCode.DAMAGED
    assert _damaged(cli)[last]["generations"] == [3]
    assert cli.run("verify", "--all") == MirrorExitCode.DAMAGED
    assert cli.run("verify", "--at=2") == MirrorExitCode.OK


@pytest.mark.usefixtures("author")
def test_a_stray_object_among_manifests_is_damage(cli):
    _put(cli.store(), "manifests/notes.txt", b"hello")
    assert cli.run("verify", "--all", "-o", "json") == MirrorExitCode.DAMAGED
    assert list(_damaged(cli)) == ["manifests/notes.txt"]


def test_one_generation_and_all_exclude_each_other(cli):
    assert cli.run("verify", "--all", "--at=1") == MirrorExitCode.SETTINGS
