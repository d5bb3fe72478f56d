"""Bytes of stored objects change: the next pod gets the right tree or an error that says where."""

import hashlib
import random

import pytest

from reconcile.mirror.errors import DamagedError, MirrorError, UnknownFormatError
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.snapshot.keys import MAX_PACKED_FILE
from tests.mirror.compare_trees import facts
from tests.mirror.faults.faulty_session import once
from tests.s3.faults import Flip

SEED = 20260131
FLIPS = 12
"""Of each kind of object."""
KINDS = ("HEAD", "manifests/", "packs/", "blobs/")


@pytest.fixture
def stored(session):
    """A pod with three generations of small files, links and one large file."""
    pod = session.pod("one")
    pod.hydrate()
    for number in range(3):
        pod.write(f"src/f{number}", b"%d" % number * 700)
        pod.write("log", bytes([number]) * (MAX_PACKED_FILE + 1))
        (pod.root / f"link{number}").symlink_to("src/f0")
        pod.sync()
    return pod


def _flip(session, key, chance):
    """Flip one bit of a stored object; returns a function that undoes it."""
    store = session.store()
    body = store.get(key).body
    flipped = bytearray(body)
    flipped[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    _put(store, key, bytes(flipped))
    return lambda: _put(store, key, body)


def _put(store, key, body):
    store.put(key, [body], hashlib.sha256(body).hexdigest())


def _keys(session, kind):
    return [listed.key for listed in session.store().list(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_gives_the_right_tree_or_an_error_that_names_the_object(
    session, stored, kind
):
    chance = random.Random(SEED)
    right = facts(stored.root)
    keys = _keys(session, kind)
    errors = []
    for number in range(FLIPS):
        key = chance.choice(keys)
        undo = _flip(session, key, chance)
        pod = session.pod(f"after-flip{number}")
        error = _hydrate(pod)
        if error:
            named = "manifests/" if kind == "HEAD" and "manifests/" in error else key
            assert named in error, (key, error)
            assert pod.state.read(pod.state.marker_path) is None
            errors.append(error)
        else:
            assert facts(pod.root) == right, key
        undo()
    assert errors


def _hydrate(pod):
    """Return what a hydrate has to say of a damaged snapshot, empty if it succeeds."""
    try:
        pod.hydrate()
    except (DamagedError, UnknownFormatError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_ends_with_the_code_of_a_damaged_snapshot_and_starts_again_after_the_repair(
    session, stored, kind
):
    store = session.store()
    key = _last(session, kind)
    body = store.get(key).body
    _put(store, key, body[:100])
    new = session.pod("new")
    ended = session.run("hydrate", new)
    assert ended.code == MirrorExitCode.SNAPSHOT
    assert key in ended.said
    assert session.run("sync", new, "--once").code == MirrorExitCode.WORKSPACE
    if kind != "HEAD":
        # The claim has changed HEAD; what was damaged is put back as it was.
        _put(store, key, body)
        assert session.run("hydrate", new).code == MirrorExitCode.OK
        assert facts(new.root) == facts(stored.root)


def _last(session, kind):
    """An object that the last generation needs."""
    chain = session.head().generation.chain
    if kind == "manifests/":
        return chain[-1].key
    if kind == "blobs/":
        digest = hashlib.sha256(bytes([2]) * (MAX_PACKED_FILE + 1)).hexdigest()
        return f"blobs/{digest}"
    return _keys(session, kind)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bit_that_flips_on_its_way_to_the_pod_is_found(session, stored, kind):
    session.front.plan = once(Flip(), of=f"/{kind}", method="GET")
    new = session.pod("new")
    ended = session.run_process("hydrate", new)
    assert ended.code in {MirrorExitCode.OK, MirrorExitCode.SNAPSHOT}
    if ended.code == MirrorExitCode.OK:
        assert facts(new.root) == facts(stored.root)
    session.front.reset()
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert facts(new.root) == facts(stored.root)


@pytest.mark.usefixtures("stored")
def test_a_missing_object_of_any_kind_is_named(session):
    store = session.store()
    for kind in ("blobs/", "packs/", "manifests/"):
        key = _last(session, kind)
        body = store.get(key).body
        store.delete([key])
        with pytest.raises(MirrorError, match=key):
            session.pod(f"without-{kind.strip('/')}").hydrate()
        _put(store, key, body)
