import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Directory,
    File,
    HardLink,
    LooseBlobs,
    PackedBlob,
    SnapshotTree,
    Symlink,
)
from reconcile.mirror.snapshot import manifest as gzipped
from reconcile.mirror.snapshot.manifest import (
    decode_manifest,
    encode_base,
    encode_delta,
    find_needed_packs,
)
from tests.mirror.snapshot import random_trees
from tests.mirror.snapshot.manifest_builders import (
    BLOB,
    DELTA,
    DIRECTORY,
    FILE,
    FIRST,
    FIRST_DELTA,
    HEADER,
    PACK,
    PACKED,
    SYMLINK,
    text,
)
from tests.mirror.snapshot.random_trees import pack


@given(random_trees.trees(), random_trees.writers, random_trees.completeness)
def test_a_base_has_the_whole_tree_and_the_needed_packs(tree, writer, completeness):
    header = replace(HEADER, writer=writer, completeness=completeness)
    manifest = decode_manifest(encode_base(header, tree))
    assert manifest.header == header
    assert list(manifest.entries.items()) == list(tree.entries.items())
    assert manifest.packs == tuple(find_needed_packs(tree).values())
    assert manifest.removed == ()


@given(random_trees.trees(), random_trees.trees())
def test_a_delta_has_exactly_the_differences(before, after):
    manifest = decode_manifest(encode_delta(DELTA, before, after))
    entries = {
        path: entry for path, entry in before.entries.items() if path not in manifest.removed
    }
    assert {**entries, **manifest.entries} == after.entries
    assert all(before.entries.get(path) != entry for path, entry in manifest.entries.items())
    assert set(manifest.removed) == before.entries.keys() - after.entries.keys()
    assert {each.number for each in manifest.packs} == after.packs.keys() - before.packs.keys()


@given(random_trees.trees())
def test_equal_trees_give_equal_bytes(tree):
    again = SnapshotTree(dict(tree.entries), dict(reversed(tree.packs.items())))
    assert encode_base(HEADER, tree) == encode_base(HEADER, again)


def test_plain_lines_are_read_like_compressed_ones():
    data = encode_base(HEADER, SnapshotTree({"d": Directory("d", 0o755, 0)}))
    assert decode_manifest(gzip.decompress(data)) == decode_manifest(data)


def test_a_manifest_of_a_newer_format_is_named():
    newer = text({**FIRST, "format": "reconcile-mirror/2", "colour": "red"})
    with pytest.raises(UnknownFormatError, match="'reconcile-mirror/2'"):
        decode_manifest(newer)


@pytest.mark.parametrize("first", [{**FIRST, "format": "tar"}, {"kind": "base"}, FILE])
def test_a_manifest_without_the_format_is_damaged(first):
    with pytest.raises(DamagedError, match="line 1: it does not say that its format"):
        decode_manifest(text(first))


HEADERS = [
    {**FIRST, "kind": "delta"},
    {**FIRST_DELTA, "kind": "base"},
    {**FIRST_DELTA, "parent": None},
    {**FIRST_DELTA, "generation": 1},
    {**FIRST, "generation": 0},
    {**FIRST, "time": "2026-13-01T00:00:00.000000000Z"},
    {**FIRST, "time": "yesterday"},
    {**FIRST, "partial": {"files": 1}},
    {**FIRST, "partial": False},
    {**FIRST, "writer": None},
    {**FIRST, "chain": [7]},
    {**FIRST_DELTA, "chain": [{**FIRST_DELTA["parent"], "key": "manifests/other"}]},
    {**FIRST_DELTA, "chain": [FIRST_DELTA["parent"], FIRST_DELTA["parent"]]},
    {**FIRST, "more": 1},
]


@pytest.mark.parametrize("header", HEADERS)
def test_a_malformed_header_is_rejected(header):
    with pytest.raises(DamagedError, match=r"^line 1: "):
        decode_manifest(text(header))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "line 1: there is no header"),
        (b"\n", "line 1: is not JSON"),
        (b"not json\n", "line 1: is not JSON"),
        (text(FIRST)[:-1], "line 1: has no end"),
        (
            gzipped.compress_lines([text(FIRST)])[:-9],
            "line 2: is truncated: its gzip data has no end",
        ),
        (
            gzipped.compress_lines([text(FIRST)])[:20],
            "line 1: is truncated: its gzip data has no end",
        ),
        (gzipped.compress_lines([text(FIRST)]) + b"x", "line 2: is followed by bytes"),
        (
            gzipped.compress_lines([text(FIRST)]) + gzipped.compress_lines([text(FILE)]),
            "line 2: is followed by bytes",
        ),
        (b"\x1f\x8bnot gzip", "line 1: cannot be decompressed"),
    ],
)
def test_incomplete_lines_are_rejected(data, why):
    with pytest.raises(DamagedError, match=why):
        decode_manifest(data)


@given(st.binary())
def test_arbitrary_bytes_are_refused(data):
    for each in (data, gzipped.GZIP_MAGIC + data, text(FIRST) + data + b"\n"):
        with pytest.raises(DamagedError):
            decode_manifest(each)


@given(st.data(), random_trees.trees())
def test_a_changed_or_truncated_manifest_never_gives_another_tree(data, tree):
    whole = encode_base(HEADER, tree)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (whole[:at], bytes(flipped)):
        try:
            assert decode_manifest(damaged).entries == tree.entries
        except (DamagedError, UnknownFormatError):
            continue


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.data())
def test_a_changed_field_is_rejected_or_valid(value, data):
    body = [PACK, DIRECTORY, {**PACKED, "path": "d/f"}, SYMLINK]
    index = data.draw(st.integers(0, len(body) - 1))
    field = data.draw(st.sampled_from(sorted(body[index])))
    body[index] = {**body[index], field: value}
    try:
        encoded = text(FIRST, *body)
    except (TypeError, orjson.JSONEncodeError):
        return
    try:
        manifest = decode_manifest(encoded)
    except DamagedError:
        return
    tree = SnapshotTree(manifest.entries, {each.number: each for each in manifest.packs})
    assert decode_manifest(encode_base(HEADER, tree)).entries == manifest.entries


def test_a_decompression_bomb_is_rejected():
    bomb = gzip.compress(text(FIRST) + b" " * (64 << 20))
    with pytest.raises(DamagedError, match="line 2: is longer than"):
        decode_manifest(bomb)
    with pytest.raises(DamagedError, match="exceeds the limit of 1000000 bytes"):
        decode_manifest(
            text(FIRST, *({**FILE, "path": f"{n:06}"} for n in range(20_000))), limit=1_000_000
        )


@pytest.mark.parametrize(
    "tree",
    [
        SnapshotTree({"d/f": File("d/f", 0o644, 0, 0, (), LooseBlobs())}),
        SnapshotTree({"b": Directory("b", 0, 0), "a": Directory("a", 0, 0)}),
        SnapshotTree({"..": Directory("..", 0, 0)}),
        SnapshotTree({"s": Symlink("s", "", 0)}),
        SnapshotTree({"h": HardLink("h", "f")}),
        SnapshotTree({"f": File("f", 0, 0, 5, (), LooseBlobs())}),
        SnapshotTree({"f": File("f", 0, 0, 5, (BLOB,), PackedBlob(1, 512))}),
        SnapshotTree({"f": File("f", 0, 0, 5, (BLOB,), PackedBlob(1, 512 * 64))}, {1: pack(1)}),
        SnapshotTree({"f": File("f", 0, 0, 5, (BLOB,), PackedBlob(1, 100))}, {1: pack(1)}),
    ],
)
def test_an_invalid_tree_is_not_encoded(tree):
    with pytest.raises(ValueError, match="'"):
        encode_base(HEADER, tree)
    with pytest.raises(ValueError, match="'"):
        encode_delta(DELTA, SnapshotTree(), tree)


def test_a_base_needs_the_header_of_a_base_and_a_delta_that_of_a_delta():
    with pytest.raises(ValueError, match="the header of a base must have"):
        encode_base(DELTA, SnapshotTree())
    with pytest.raises(ValueError, match="the header of a delta must have a chain"):
        encode_delta(HEADER, SnapshotTree(), SnapshotTree())
