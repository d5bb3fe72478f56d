import gzip
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Alone,
    Directory,
    File,
    HardLink,
    ManifestRef,
    Packed,
    Symlink,
    Tree,
    Writer,
)
from reconcile.mirror.snapshot import gzipped
from reconcile.mirror.snapshot.header import Header
from reconcile.mirror.snapshot.keys import CHUNK, manifest_key
from reconcile.mirror.snapshot.manifest import decode, encode_base, encode_delta, needed_packs
from tests.mirror.snapshot import trees
from tests.mirror.snapshot.trees import pack, sha

HEADER = Header(1, 0, Writer("uid", 1, "pod"))
PARENT = ManifestRef(1, manifest_key(1, sha("m")), sha("m"), 100)
DELTA = replace(HEADER, generation=2, parent=PARENT, chain=(PARENT,))
BLOB = sha("blob")


def lines(data):
    return [orjson.loads(line) for line in gzip.decompress(data).splitlines()]


def text(*values):
    return b"".join(orjson.dumps(value) + b"\n" for value in values)


FIRST = lines(encode_base(HEADER, Tree()))[0]
FIRST_DELTA = lines(encode_delta(DELTA, Tree(), Tree()))[0]
FILE = {"kind": "file", "path": "f", "size": 0, "mode": "0644", "mtime": "0.000000000", "blobs": []}
DIRECTORY = {"kind": "directory", "path": "d", "mode": "0755", "mtime": "0.000000000"}
SYMLINK = {"kind": "symlink", "path": "s", "target": "t", "mtime": "0.000000000"}
PACK = {"kind": "pack", "number": 1, "sha256": sha("p"), "size": 4096}
PACKED = {**FILE, "size": 512, "blobs": [BLOB], "pack": 1, "at": 512}


def gone(path):
    return {"kind": "gone", "path": path}


def hardlink(path, target):
    return {"kind": "hardlink", "path": path, "target": target}


@given(trees.trees(), trees.writers, trees.completeness)
def test_a_base_says_all_of_a_tree_and_the_packs_that_it_needs(tree, writer, completeness):
    header = replace(HEADER, writer=writer, completeness=completeness)
    manifest = decode(encode_base(header, tree))
    assert manifest.header == header
    assert list(manifest.entries.items()) == list(tree.entries.items())
    assert manifest.packs == tuple(needed_packs(tree).values())
    assert manifest.gone == ()


@given(trees.trees(), trees.trees())
def test_a_delta_says_exactly_what_differs(before, after):
    manifest = decode(encode_delta(DELTA, before, after))
    entries = {path: entry for path, entry in before.entries.items() if path not in manifest.gone}
    assert {**entries, **manifest.entries} == after.entries
    assert all(before.entries.get(path) != entry for path, entry in manifest.entries.items())
    assert set(manifest.gone) == before.entries.keys() - after.entries.keys()
    assert {each.number for each in manifest.packs} == after.packs.keys() - before.packs.keys()


@given(trees.trees())
def test_equal_trees_give_equal_bytes(tree):
    again = Tree(dict(tree.entries), dict(reversed(tree.packs.items())))
    assert encode_base(HEADER, tree) == encode_base(HEADER, again)


def test_plain_lines_are_read_as_packed_ones_are():
    data = encode_base(HEADER, Tree({"d": Directory("d", 0o755, 0)}))
    assert decode(gzip.decompress(data)) == decode(data)


def test_a_manifest_of_a_newer_format_is_refused_by_name():
    newer = text({**FIRST, "format": "reconcile-mirror/2", "colour": "red"})
    with pytest.raises(UnknownFormatError, match="'reconcile-mirror/2'"):
        decode(newer)


@pytest.mark.parametrize("first", [{**FIRST, "format": "tar"}, {"kind": "base"}, FILE])
def test_what_says_no_format_of_ours_is_damaged(first):
    with pytest.raises(DamagedError, match="line 1: it does not say that its format"):
        decode(text(first))


MALFORMED = [
    ({**FILE, "path": ""}, "`path` is empty"),
    ({**FILE, "path": "/etc/passwd"}, "`path` is absolute"),
    ({**FILE, "path": "../up"}, "`path` has a component .."),
    ({**FILE, "path": "d/../../up"}, "`path` has a component .."),
    ({**FILE, "path": "d/./f"}, "`path` has a component ."),
    ({**FILE, "path": "d//f"}, "`path` has an empty component"),
    ({**FILE, "path": "d/"}, "`path` has an empty component"),
    ({**FILE, "path": "a%00b"}, "`path` has a NUL"),
    ({**FILE, "path": "ü" * 128}, "`path` has a component longer than 255 bytes"),
    ({**FILE, "path": "a/" * 2048 + "b"}, "`path` is longer than 4095 bytes"),
    ({**FILE, "path": "%2e%2E"}, "`path` is not escaped as format 1 escapes names"),
    ({**FILE, "path": 7}, "`path` is no text"),
    ({**FILE, "size": -1}, "`size` is no integer"),
    ({**FILE, "size": True}, "`size` is no integer"),
    ({**FILE, "size": 2**60}, "`size` is no integer"),
    ({**FILE, "size": 5}, "`blobs` has 0 digests, which does not fit 5 bytes"),
    ({**FILE, "size": 0, "blobs": [BLOB]}, "`blobs` has 1 digests, which does not fit 0 bytes"),
    ({**FILE, "size": CHUNK + 1, "blobs": [BLOB]}, "`blobs` has 1 digests"),
    ({**FILE, "size": 1, "blobs": [BLOB.upper()]}, "`blobs` has what is no SHA-256"),
    ({**FILE, "size": 1, "blobs": ["../../etc"]}, "`blobs` has what is no SHA-256"),
    ({**FILE, "size": 1, "blobs": [None]}, "`blobs` has what is no SHA-256"),
    ({**FILE, "blobs": "none"}, "`blobs` is no list"),
    ({**FILE, "mode": "644"}, "`mode` is no mode"),
    ({**FILE, "mode": "0888"}, "`mode` is no mode"),
    ({**FILE, "mode": 420}, "`mode` is no text"),
    ({**FILE, "mtime": "1"}, "`mtime` is no time"),
    ({**FILE, "mtime": "-0.000000000"}, "`mtime` is no time"),
    ({**FILE, "mtime": f"{2**63}.000000000"}, "`mtime` is no time that a file can have"),
    ({**FILE, "owner": 0}, "has an unknown field `owner`"),
    ({**FILE, "pack": 1}, "lacks `at`"),
    ({key: FILE[key] for key in FILE if key != "mode"}, "lacks `mode`"),
    ({**FILE, "kind": "fifo"}, "has no `kind` that format 1 knows: 'fifo'"),
    ({**FILE, "kind": []}, "has no `kind` that format 1 knows"),
    ({**SYMLINK, "target": ""}, "`target` is empty"),
    ({**SYMLINK, "target": "a%00b"}, "`target` has a NUL"),
    ({**SYMLINK, "target": "x" * 4096}, "`target` is longer than 4095 bytes"),
    (hardlink("h", "/etc/shadow"), "`target` is absolute"),
    ({**PACK, "size": 512}, "`size` is no integer from 2048"),
    ({**PACK, "size": 4097}, "`size` is no multiple of 512"),
    ({**PACK, "sha256": "x"}, "`sha256` is no SHA-256"),
    ({**PACKED, "at": 0}, "`at` is no place where a pack has data"),
    ({**PACKED, "at": 700}, "`at` is no place where a pack has data"),
    ({**PACKED, "size": CHUNK + 1}, "`blobs` must be one digest of 1 byte to 8 MiB"),
    ({**PACKED, "blobs": [BLOB, BLOB]}, "`blobs` must be one digest"),
    ({**PACKED, "blobs": [], "size": 0}, "`blobs` must be one digest"),
    ([], "is no JSON object"),
    (None, "is no JSON object"),
]


@pytest.mark.parametrize("first", [FIRST, FIRST_DELTA], ids=["base", "delta"])
@pytest.mark.parametrize(("line", "why"), MALFORMED)
def test_a_malformed_line_is_refused_with_its_number_and_the_reason(first, line, why):
    with pytest.raises(DamagedError) as refused:
        decode(text(first, {**PACK, "number": 0}, line))
    assert str(refused.value).startswith("line 3: ")
    assert why in str(refused.value)


UNFIT = [
    ([PACKED], "lies in pack 1, which is not listed"),
    ([PACK, {**PACKED, "at": 3072}], "lies outside of pack 1, which has 4096 bytes"),
    ([{**FILE, "path": "d/f"}], "is below 'd', which is no directory"),
    ([{**FILE, "path": "d"}, {**FILE, "path": "d/f"}], "is below 'd', which is no directory"),
    ([{**SYMLINK, "path": "d"}, {**FILE, "path": "d/f"}], "is below 'd', which is no directory"),
    ([hardlink("h", "f")], "is a link to 'f', which is no file before it"),
    ([hardlink("a", "f"), FILE], "is a link to 'f', which is no file before it"),
    ([DIRECTORY, hardlink("h", "d")], "is a link to 'd', which is no file before it"),
    ([hardlink("h", "h")], "is a link to 'h', which is no file before it"),
    ([gone("x")], "takes an entry away in a base"),
]


@pytest.mark.parametrize(("body", "why"), UNFIT)
def test_entries_that_do_not_fit_together_are_refused_in_a_base(body, why):
    with pytest.raises(DamagedError, match=rf"^line \d: {why}"):
        decode(text(FIRST, *body))


DISORDERED = [
    ([FILE, FILE], "comes twice or too late"),
    ([FILE, DIRECTORY], "comes twice or too late"),
    ([gone("x"), gone("a")], "comes twice or too late"),
    ([gone("f"), FILE], "is an entry for 'f', which is gone"),
    ([FILE, gone("x")], "after entries"),
    ([FILE, PACK], "is a pack after entries"),
    ([PACK, PACK], "is pack 1, which comes twice or too late"),
]


@pytest.mark.parametrize(("body", "why"), DISORDERED)
def test_lines_out_of_order_are_refused(body, why):
    with pytest.raises(DamagedError, match=rf"^line 3: .*{why}"):
        decode(text(FIRST_DELTA, *body))


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
def test_a_malformed_header_is_refused(header):
    with pytest.raises(DamagedError, match=r"^line 1: "):
        decode(text(header))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "line 1: there is no header"),
        (b"\n", "line 1: is no JSON"),
        (b"not json\n", "line 1: is no JSON"),
        (text(FIRST)[:-1], "line 1: has no end"),
        (gzipped.compress([text(FIRST)])[:-9], "line 2: is cut off: its gzip has no end"),
        (gzipped.compress([text(FIRST)])[:20], "line 1: is cut off: its gzip has no end"),
        (gzipped.compress([text(FIRST)]) + b"x", "line 2: is followed by bytes"),
        (
            gzipped.compress([text(FIRST)]) + gzipped.compress([text(FILE)]),
            "line 2: is followed by bytes",
        ),
        (b"\x1f\x8bnot gzip", "line 1: cannot be unpacked"),
    ],
)
def test_what_is_not_whole_lines_is_refused(data, why):
    with pytest.raises(DamagedError, match=why):
        decode(data)


@given(st.binary())
def test_arbitrary_bytes_are_refused(data):
    for each in (data, gzipped.MAGIC + data, text(FIRST) + data + b"\n"):
        with pytest.raises(DamagedError):
            decode(each)


@given(st.data(), trees.trees())
def test_a_manifest_with_any_byte_changed_or_cut_off_never_gives_another_tree(data, tree):
    whole = encode_base(HEADER, tree)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at] ^= data.draw(st.integers(1, 255))
    for damaged in (whole[:at], bytes(flipped)):
        try:
            assert decode(damaged).entries == tree.entries
        except (DamagedError, UnknownFormatError):
            continue


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists), st.data())
def test_any_other_value_in_any_field_is_refused_or_could_have_been_written(value, data):
    body = [PACK, DIRECTORY, {**PACKED, "path": "d/f"}, SYMLINK]
    index = data.draw(st.integers(0, len(body) - 1))
    field = data.draw(st.sampled_from(sorted(body[index])))
    body[index] = {**body[index], field: value}
    try:
        encoded = text(FIRST, *body)
    except (TypeError, orjson.JSONEncodeError):
        return
    try:
        manifest = decode(encoded)
    except DamagedError:
        return
    tree = Tree(manifest.entries, {each.number: each for each in manifest.packs})
    assert decode(encode_base(HEADER, tree)).entries == manifest.entries


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(text(FIRST) + b" " * (64 << 20))
    with pytest.raises(DamagedError, match="line 2: is longer than"):
        decode(bomb)
    with pytest.raises(DamagedError, match="comes after more than 1000000 bytes"):
        decode(text(FIRST, *({**FILE, "path": f"{n:06}"} for n in range(20_000))), limit=1_000_000)


@pytest.mark.parametrize(
    "tree",
    [
        Tree({"d/f": File("d/f", 0o644, 0, 0, (), Alone())}),
        Tree({"b": Directory("b", 0, 0), "a": Directory("a", 0, 0)}),
        Tree({"..": Directory("..", 0, 0)}),
        Tree({"s": Symlink("s", "", 0)}),
        Tree({"h": HardLink("h", "f")}),
        Tree({"f": File("f", 0, 0, 5, (), Alone())}),
        Tree({"f": File("f", 0, 0, 5, (BLOB,), Packed(1, 512))}),
        Tree({"f": File("f", 0, 0, 5, (BLOB,), Packed(1, 512 * 64))}, {1: pack(1)}),
        Tree({"f": File("f", 0, 0, 5, (BLOB,), Packed(1, 100))}, {1: pack(1)}),
    ],
)
def test_what_no_reader_would_accept_is_not_written(tree):
    with pytest.raises(ValueError, match="'"):
        encode_base(HEADER, tree)
    with pytest.raises(ValueError, match="'"):
        encode_delta(DELTA, Tree(), tree)


def test_a_base_needs_the_header_of_a_base_and_a_delta_that_of_a_delta():
    with pytest.raises(ValueError, match="a base has no chain"):
        encode_base(DELTA, Tree())
    with pytest.raises(ValueError, match="a delta stands upon a chain"):
        encode_delta(HEADER, Tree(), Tree())
