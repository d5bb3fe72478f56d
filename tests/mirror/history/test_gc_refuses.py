"""Who cannot be sure what is needed, or may not delete, deletes nothing."""

import hashlib

import pytest

from reconcile.mirror.errors import DamagedError, DeniedError, StoreError, UnknownFormatError
from tests.mirror.history.gc_world import BIG, DAY


def _no_deletes(yard):
    yard.bucket.fault = lambda request: (
        DeniedError("may not") if request.method == "delete" else None
    )


def _deletes_nothing(yard):
    yard.store.delete = lambda _keys: None


def _ignores_conditions(yard):
    yard.store.put_if = lambda key, body, _etag: yard.put(key, body) or "etag"


def _head_is_gone(yard):
    yard.store.delete(["HEAD"])


def _head_is_damaged(yard):
    yard.put("HEAD", b"{}")


def _a_newer_version_wrote_head(yard):
    yard.put(
        "HEAD", yard.store.get("HEAD").body.replace(b"reconcile-mirror/1", b"reconcile-mirror/2")
    )


def _a_manifest_is_damaged(yard):
    yard.put(yard.keys("manifests/")[0], b"x")


def _a_manifest_is_of_a_newer_version(yard):
    body = b'{"format":"reconcile-mirror/2"}\n'
    digest = hashlib.sha256(body).hexdigest()
    yard.put(f"manifests/000000000001-{digest}.jsonl.gz", body)


def _a_record_is_damaged(yard):
    yard.put("gc/x.json", b"x")


def _a_manifest_is_missing(yard):
    yard.store.delete([yard.keys("manifests/")[-1]])


@pytest.mark.parametrize(
    ("deed", "error"),
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
def test_who_cannot_be_sure_deletes_nothing(yard, deed, error):
    yard.commit("a", BIG)
    yard.commit("a", BIG[1:])
    yard.clock.seconds += DAY
    yard.collect()
    yard.clock.seconds += DAY
    deed(yard)
    before = {key for key in yard.bucket.objects if "/probe/" not in key}
    with pytest.raises(error):
        yard.collect()
    assert {key for key in yard.bucket.objects if "/probe/" not in key} == before
