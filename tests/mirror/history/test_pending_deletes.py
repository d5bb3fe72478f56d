"""Writers heed what garbage collection says that it deletes."""

import hashlib

import pytest

from reconcile.mirror.backup.syncer import BlobBeingDeletedError
from reconcile.mirror.errors import DamagedError
from reconcile.mirror.snapshot.gc import DeleteIntent, encode_delete_intent
from tests.mirror.history.gc_world import BIG, DAY, HOUR


def test_a_writer_stores_anew_what_is_being_deleted_before_it_commits(yard):
    yard.commit("a", b"first")
    syncer = yard.pod.syncer()
    yard.pod.write("b", BIG)
    blob = f"blobs/{hashlib.sha256(BIG).hexdigest()}"
    yard.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (blob,))))
    with pytest.raises(BlobBeingDeletedError, match=blob):
        syncer.run(yard.pod.pass_options())
    yard.store.delete([blob])
    yard.clock.seconds += HOUR
    assert syncer.run(yard.pod.pass_options()).is_committed
    assert blob in yard.keys("")
    assert yard.verify().damaged == ()


def test_a_notice_about_other_things_holds_nobody_up(yard):
    yard.put("sweep/1.json", encode_delete_intent(DeleteIntent(0, (f"blobs/{'0' * 64}",))))
    assert yard.commit("b", BIG).is_committed


def test_a_damaged_notice_is_an_error_of_its_own(yard):
    yard.put("sweep/1.json", b"{}")
    with pytest.raises(DamagedError, match="notice"):
        yard.commit("b", BIG)


def test_what_a_new_base_lets_go_is_stored_anew(yard):
    """A long-lived sync must not rely on a chunk that only generations before the base have."""
    syncer = yard.pod.syncer()

    def commit(path, data):
        yard.pod.write(path, data)
        yard.clock.seconds += 1
        return syncer.run(yard.pod.pass_options())

    commit("a", BIG)
    (yard.pod.root / "a").unlink()
    for number in range(40):
        commit(f"{number}", b"%d" % number * 999)
    for _ in range(3):
        yard.clock.seconds += DAY
        yard.collect()
    assert f"blobs/{hashlib.sha256(BIG).hexdigest()}" not in yard.keys("")
    commit("b", BIG)
    assert yard.verify().damaged == ()
