"""A collection that cannot be sure what is needed, or may not delete, deletes nothing."""

import hashlib

import pytest

from reconcile.mirror.errors import DamagedError, DeniedError, StoreError, UnknownFormatError
from tests.mirror.history.gc_world import BIG, DAY


def _no_deletes(world):
    world.bucket.fault = lambda request: (
        DeniedError("may not") if request.method == "delete" else None
    )


def _deletes_nothing(world):
    world.store.delete = lambda _keys: None


def _ignores_conditions(world):
    world.store.put_if = lambda key, body, _etag: world.put(key, body) or "etag"


def _head_is_gone(world):
    world.store.delete(["HEAD"])


def _head_is_damaged(world):
    world.put("HEAD", b"{}")


def _a_newer_version_wrote_head(world):
    world.put(
        "HEAD", world.store.get("HEAD").body.replace(b"reconcile-mirror/1", b"reconcile-mirror/2")
    )


def _a_manifest_is_damaged(world):
    world.put(world.keys("manifests/")[0], b"x")


def _a_manifest_is_of_a_newer_version(world):
    body = b'{"format":"reconcile-mirror/2"}\n'
    digest = hashlib.sha256(body).hexdigest()
    world.put(f"manifests/000000000001-{digest}.jsonl.gz", body)


def _a_record_is_damaged(world):
    world.put("gc/x.json", b"x")


def _a_manifest_is_missing(world):
    world.store.delete([world.keys("manifests/")[-1]])


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (_no_deletes, DeniedError),
        (_deletes_nothing, StoreError),
        (_ignores_conditions, StoreError),
        (_head_is_gone, DamagedError),
        (_head_is_damaged, DamagedError),
        (_a_newer_version_wrote_head, UnknownFormatError),
        (_a_manifest_is_damaged, DamagedError),
        (_a_manifest_is_of_a_newer_version, DamagedError),
        (_a_record_is_damaged, DamagedError),
        (_a_manifest_is_missing, DamagedError),
    ],
)
def test_a_collection_that_cannot_be_sure_deletes_nothing(world, damage, error):
    world.commit("a", BIG)
    world.commit("a", BIG[1:])
    world.clock.seconds += DAY
    world.collect()
    world.clock.seconds += DAY
    damage(world)
    before = {key for key in world.bucket.objects if "/probe/" not in key}
    with pytest.raises(error):
        world.collect()
    assert {key for key in world.bucket.objects if "/probe/" not in key} == before
