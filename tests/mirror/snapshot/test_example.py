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


def test_the_page_shows_the_current_output():
    shown = page_blocks(PAGE.read_text(encoding="utf-8"))
    assert shown == blocks(example()), AGAIN
    assert shown.keys() == {"HEAD", "base", "delta"}


def test_the_example_is_decoded_correctly():
    builder = example()
    head = heads.decode_head(builder.objects[keys.HEAD])
    tree = replay_chain((ref, builder.objects[ref.key]) for ref in head.generation.chain)
    assert tree == builder.tree
    assert head.generation == builder.generation
    assert object_keys(tree) <= builder.objects.keys()


def test_the_packs_of_the_example_are_valid():
    builder = example()
    packs = [builder.objects[keys.pack_key(pack.digest)] for pack in builder.tree.packs.values()]
    assert [len(list(iter_members(data))) for data in packs] == [2, 1]


@pytest.mark.parametrize(
    "word", [keys.FORMAT, str(keys.CHUNK >> 20), "4 MiB", "24", "4,095", "255"]
)
def test_the_page_names_the_limits(word):
    assert word in PAGE.read_text(encoding="utf-8")


def test_manifests_are_one_gzip_member_without_a_time():
    builder = example()
    for ref in builder.generation.chain:
        body = builder.objects[ref.key]
        assert body[4:8] == bytes(4)
        assert gzip.decompress(body).endswith(b"}\n")
