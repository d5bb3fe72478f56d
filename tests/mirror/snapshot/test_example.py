"""The example in docs/format.md is what the program writes, and reads."""

import gzip

import pytest

from reconcile.mirror.snapshot import head as heads
from reconcile.mirror.snapshot import keys
from reconcile.mirror.snapshot.chain import replay_chain
from reconcile.mirror.snapshot.pack import iter_members
from tests.mirror.snapshot.example import PAGE, blocks, example, page_blocks
from tests.mirror.snapshot.random_trees import object_keys

AGAIN = "run: python -m tests.mirror.snapshot.example"


def test_the_page_shows_what_is_written():
    shown = page_blocks(PAGE.read_text(encoding="utf-8"))
    assert shown == blocks(example()), AGAIN
    assert shown.keys() == {"HEAD", "base", "delta"}


def test_the_example_is_read_back_as_it_was_meant():
    shop = example()
    head = heads.decode_head(shop.objects[keys.HEAD])
    tree = replay_chain((ref, shop.objects[ref.key]) for ref in head.generation.chain)
    assert tree == shop.tree
    assert head.generation == shop.generation
    assert object_keys(tree) <= shop.objects.keys()


def test_the_packs_of_the_example_are_whole():
    shop = example()
    packs = [shop.objects[keys.pack_key(pack.digest)] for pack in shop.tree.packs.values()]
    assert [len(list(iter_members(data))) for data in packs] == [2, 1]


@pytest.mark.parametrize(
    "word", [keys.FORMAT, str(keys.CHUNK >> 20), "4 MiB", "24", "4,095", "255"]
)
def test_the_page_names_the_limits(word):
    assert word in PAGE.read_text(encoding="utf-8")


def test_manifests_are_one_gzip_member_without_a_time():
    shop = example()
    for ref in shop.generation.chain:
        body = shop.objects[ref.key]
        assert body[4:8] == bytes(4)
        assert gzip.decompress(body).endswith(b"}\n")
