"""The policies in docs/storage.md allow what is necessary and nothing more."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconcile.mirror.errors import DeniedError
from reconcile.mirror.store.conditional import ConditionalWriteSupport, probe_conditional_writes
from reconcile.mirror.store.port import Store
from reconcile.mirror.store.s3 import S3Store
from tests.s3 import buckets
from tests.s3.access import S3Server, StaticCredentials
from tests.s3.ceph import OTHER

pytestmark = pytest.mark.s3
DOCUMENT = Path(__file__).parents[3] / "docs/storage.md"
Opener = Callable[[str], Store]


def _documents() -> list[dict[str, Any]]:
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    return [json.loads(block) for block in blocks]


def _opener(server: S3Server, policy: dict[str, Any]) -> Opener:
    """Set a policy on a new bucket for another user; returns what opens prefixes as that user."""
    bucket = buckets.fresh(server)
    for statement in policy["Statement"]:
        statement["Principal"] = {"AWS": [f"arn:aws:iam:::user/{OTHER.user}"]}
    text = json.dumps(policy).replace("arn:aws:s3:::sessions", f"arn:aws:s3:::{bucket}")
    buckets.allow(server, bucket, text)
    return lambda prefix: S3Store(server.location(bucket, prefix), StaticCredentials(OTHER.keys))


@pytest.fixture
def writer(s3_server: S3Server) -> Opener:
    return _opener(s3_server, _documents()[0])


@pytest.fixture
def collector(s3_server: S3Server) -> Opener:
    return _opener(s3_server, _documents()[1])


def test_the_policy_of_a_session_allows_what_it_needs(writer: Opener) -> None:
    store = writer("team-a/fix-login/")
    assert probe_conditional_writes(store, "probe/x") is ConditionalWriteSupport.HONOURED
    store.put("packs/one", [b"x"], hashlib.sha256(b"x").hexdigest())
    assert store.get("packs/one").body == b"x"
    assert "packs/one" in [each.key for each in store.list("")]


def test_the_policy_of_a_session_does_not_allow_deletes(writer: Opener) -> None:
    store = writer("team-a/fix-login/")
    store.put("packs/one", [b"x"], hashlib.sha256(b"x").hexdigest())
    with pytest.raises(DeniedError, match=r"may not s3:DeleteObject on .*packs/one"):
        store.delete(["packs/one"])


@pytest.mark.parametrize("prefix", ["team-a/fix-login-2/", "team-b/fix-login/", ""])
def test_the_policy_of_a_session_does_not_allow_other_prefixes(writer: Opener, prefix: str) -> None:
    store = writer(prefix)
    for request in (
        lambda: store.get("HEAD"),
        lambda: store.put("HEAD", [b"x"], hashlib.sha256(b"x").hexdigest()),
        lambda: list(store.list("")),
    ):
        with pytest.raises(DeniedError, match="the key may not s3:"):
            request()


def test_the_policy_of_garbage_collection_allows_deletes_in_its_namespace_only(
    collector: Opener,
) -> None:
    store = collector("team-a/fix-login/")
    store.put("packs/one", [b"x"], hashlib.sha256(b"x").hexdigest())
    store.delete(["packs/one"])
    assert list(store.list("")) == []
    with pytest.raises(DeniedError):
        collector("team-b/fix-login/").delete(["packs/one"])
