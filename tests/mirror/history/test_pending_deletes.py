"""Writers obey the delete intents of garbage collection."""

import hashlib

import pytest

from reconcile.mirror.backup.syncer import BlobBeingDeletedError
from reconcile.mirror.errors import DamagedError
from reconcile.mirror.snapshot.gc import DeleteIntent, encode_delete_intent
from tests.mirror.history.gc_world import BIG, DAY, HOUR


def test_a_writer_stores_again_what_is_being_deleted(world):
    world.commit("a", b"first")
    syncer = world.pod.syncer()
    world.pod.write("b", BIG)
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    world.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (blob,))))
    with pytest.raises(BlobBeingDeletedError, match=blob):
        syncer.run(world.pod.pass_options())
    world.store.delete([blob])
    world.clock.seconds += HOUR
    assert syncer.run(world.pod.pass_options()).is_committed
    assert blob in world.keys("")
    assert world.verify().damaged == ()


def test_an_intent_about_other_objects_blocks_no_commit(world):
    world.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (f"blobs/{'0' * 64}",))))
    assert world.commit("b", BIG).is_committed


def test_a_damaged_intent_is_an_error(world):
    world.put("sweep/1.json", b"{}")
    with pytest.raises(DamagedError, match="delete intent"):
        world.commit("b", BIG)


def test_objects_that_a_new_base_drops_are_stored_again(world):
    """A long-lived sync must not rely on a chunk that only generations before the base have."""
    syncer = world.pod.syncer()

    def commit(path, data):
        world.pod.write(path, data)
        world.clock.seconds += 1
        return syncer.run(world.pod.pass_options())

    commit("a", BIG)
    (world.pod.root / "a").unlink()
    for number in range(40):
        commit(f"{number}", b"%d" % number * 999)
    for _ in range(3):
        world.clock.seconds += DAY
        world.collect()
    assert f"blobs/{hashlib.sha256(BIG).hexdigest()}" not in world.keys("")
    commit("b", BIG)
    assert world.verify().damaged == ()
