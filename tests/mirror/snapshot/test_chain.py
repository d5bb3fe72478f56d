import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from reconcile.mirror.errors import DamagedError, UnknownFormatError
from reconcile.mirror.model import (
    Directory,
    File,
    Generation,
    HardLink,
    LooseBlobs,
    SnapshotTree,
    Symlink,
    Writer,
)
from reconcile.mirror.snapshot import chain, manifest
from reconcile.mirror.snapshot.chain import CommitInfo, read_manifest, replay_chain
from reconcile.mirror.snapshot.keys import manifest_key
from reconcile.mirror.snapshot.manifest import decode_manifest, find_needed_packs
from tests.mirror.snapshot import random_trees
from tests.mirror.snapshot.manifest_builders import next_manifest
from tests.mirror.snapshot.random_trees import pack, sha

NOTHING = Generation(0, 0, ())
STAMP = CommitInfo(17, Writer("uid", 1, "pod"))
D = Directory("d", 0o755, 0)
F = File("d/f", 0o644, 0, 0, (), LooseBlobs())
WRITES = st.sampled_from(
    [next_manifest, chain.new_delta, lambda g, s, _, t: chain.new_base(g, s, t)]
)


def large(count):
    entries = [
        File(f"{n:06}", 0o644, n * 7919, 3, (sha(str(n)),), LooseBlobs()) for n in range(count)
    ]
    return SnapshotTree({entry.path: entry for entry in entries})


def chained(*steps):
    """Encode trees one after the other; return the last generation and all bodies by reference."""
    generation, tree, bodies = NOTHING, SnapshotTree(), {}
    for after, write in steps:
        numbers = {number: p for number, p in after.packs.items() if number not in tree.packs}
        how = write if generation.chain else next_manifest
        written = how(
            generation, STAMP, tree, SnapshotTree(after.entries, {**tree.packs, **numbers})
        )
        generation, tree = written.generation, written.tree
        bodies[written.ref] = written.body
    return generation, tree, bodies


def read(generation, bodies):
    return replay_chain((ref, bodies[ref]) for ref in generation.chain)


@st.composite
def growing(draw):
    """Trees with increasing pack numbers, as in one chain."""
    steps, offset = [], 0
    for tree in draw(st.lists(random_trees.trees(), min_size=1, max_size=6)):
        entries = {path: _moved(entry, offset) for path, entry in tree.entries.items()}
        steps.append(
            (SnapshotTree(entries, {n + offset: pack(n + offset) for n in range(5)}), draw(WRITES))
        )
        offset += 5
    return steps


def _moved(entry, offset):
    if isinstance(entry, File) and entry.location != LooseBlobs():
        return replace(entry, location=replace(entry.location, pack=entry.location.pack + offset))
    return entry


@given(growing())
@settings(max_examples=60)
def test_replaying_a_chain_gives_the_last_tree(steps):
    generation, tree, bodies = chained(*steps)
    found = read(generation, bodies)
    assert list(found.entries.items()) == list(steps[-1][0].entries.items())
    assert found == tree
    assert find_needed_packs(found).keys() <= found.packs.keys()


@given(growing(), st.data())
@settings(max_examples=60)
def test_a_chain_with_a_missing_or_changed_manifest_is_rejected(steps, data):
    generation, _, bodies = chained(*steps)
    index = data.draw(st.integers(0, len(generation.chain) - 1))
    ref = generation.chain[index]
    at = data.draw(st.integers(0, ref.size - 1))
    flipped = bytearray(bodies[ref])
    flipped[at] ^= 1
    for body in (bytes(flipped), bodies[ref][:at], bodies[ref] + b"x"):
        with pytest.raises(DamagedError, match=f"{ref.key} is damaged: it has"):
            read(generation, {**bodies, ref: body})
    shortened = [each for each in generation.chain if each != ref]
    if index < len(shortened):
        with pytest.raises(DamagedError, match="it does not belong to this chain"):
            replay_chain((each, bodies[each]) for each in shortened)


def test_one_changed_byte_in_many_files_is_a_delta_of_a_few_hundred_bytes():
    before = large(20_000)
    changed = replace(before.entries["010000"], blobs=(sha("new"),))
    after = SnapshotTree({**before.entries, "010000": changed})
    first = next_manifest(NOTHING, STAMP, SnapshotTree(), before)
    second = next_manifest(first.generation, STAMP, first.tree, after)
    assert second.ref.size < 600
    assert second.generation.chain == (first.ref, second.ref)
    assert read(second.generation, {first.ref: first.body, second.ref: second.body}) == after


def test_unchanged_entries_are_shared_between_trees():
    before = large(10)
    first = next_manifest(NOTHING, STAMP, SnapshotTree(), before)
    after = SnapshotTree({**before.entries, "new": Directory("new", 0, 0)})
    second = next_manifest(first.generation, STAMP, first.tree, after)
    assert all(second.tree.entries[path] is entry for path, entry in before.entries.items())


def test_a_chain_ends_with_its_twenty_fourth_delta():
    tree = large(20_000)
    written = next_manifest(NOTHING, STAMP, SnapshotTree(), tree)
    lengths = []
    for count in range(26):
        after = SnapshotTree(
            {**tree.entries, "000000": replace(tree.entries["000000"], mtime=-count)}
        )
        written = next_manifest(written.generation, STAMP, tree, after)
        tree = written.tree
        lengths.append(len(written.generation.chain))
    assert lengths == [*range(2, 26), 1, 2]


def test_a_new_base_is_due_when_deltas_exceed_half_the_base():
    before = large(1000)
    first = next_manifest(NOTHING, STAMP, SnapshotTree(), before)
    few = {f"{n:06}": replace(before.entries[f"{n:06}"], blobs=(sha(f"x{n}"),)) for n in range(300)}
    second = next_manifest(first.generation, STAMP, before, SnapshotTree({**before.entries, **few}))
    assert not decode_manifest(second.body).header.is_base
    more = {path: replace(entry, blobs=(sha(f"y{path}"),)) for path, entry in few.items()}
    third = next_manifest(
        second.generation, STAMP, second.tree, SnapshotTree({**before.entries, **few, **more})
    )
    assert decode_manifest(third.body).header.is_base
    assert decode_manifest(third.body).header.parent == second.ref


def test_a_new_base_lists_only_needed_packs():
    tree = SnapshotTree({"d": D}, {1: pack(1), 2: pack(2)})
    assert chain.new_base(NOTHING, STAMP, tree).tree.packs == {}


def test_pack_numbers_continue_after_the_highest():
    assert chain.next_pack_number(SnapshotTree()) == 1
    assert chain.next_pack_number(SnapshotTree({}, {3: pack(3), 9: pack(9)})) == 10


def test_the_manifest_of_another_generation_is_rejected():
    written = next_manifest(NOTHING, STAMP, SnapshotTree(), SnapshotTree({"d": D}))
    other = replace(written.ref, generation=2, key=manifest_key(2, written.ref.digest))
    with pytest.raises(DamagedError, match="it says generation 1"):
        read_manifest(other, written.body)


def resigned(ref, body):
    """Return a body with a matching reference."""
    digest = chain.hashlib.sha256(body).hexdigest()
    return replace(
        ref, digest=digest, size=len(body), key=manifest_key(ref.generation, digest)
    ), body


def test_an_error_in_a_manifest_names_its_key():
    ref = next_manifest(NOTHING, STAMP, SnapshotTree(), SnapshotTree()).ref
    ref, body = resigned(ref, b'{"format":"reconcile-mirror/7"}\n')
    with pytest.raises(
        UnknownFormatError, match=f"{ref.key} cannot be read: .*'reconcile-mirror/7'"
    ):
        read_manifest(ref, body)
    ref, body = resigned(ref, b"{}\n")
    with pytest.raises(DamagedError, match=f"{ref.key} is damaged: line 1: "):
        read_manifest(ref, body)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([b'{"kind":"gone","path":"x"}'], "it removes 'x', which does not exist"),
        ([b'{"kind":"gone","path":"d"}'], "'d/f' is below 'd', which is not a directory"),
        ([b'{"kind":"symlink","path":"d","target":"t","mtime":"0.000000000"}'], "'d/f' is below"),
        ([b'{"kind":"hardlink","path":"h","target":"x"}'], "'h' is a link to 'x'"),
        ([b'{"kind":"pack","number":1,"sha256":"%b","size":2048}' % sha("p").encode()], "pack 1"),
    ],
)
def test_a_delta_that_does_not_match_its_base_is_rejected(lines, why):
    first = next_manifest(NOTHING, STAMP, SnapshotTree(), SnapshotTree({"d": D, "d/f": F}))
    packed = File("p", 0, 0, 1, (sha("b"),), random_trees.PackedBlob(1, 512))
    tree = SnapshotTree({"d": D, "d/f": F, "p": packed}, {1: pack(1)})
    first = next_manifest(NOTHING, STAMP, SnapshotTree(), tree)
    second = chain.new_delta(first.generation, STAMP, first.tree, first.tree)
    header = next(manifest.iter_lines(second.body))
    ref, body = resigned(second.ref, b"\n".join([header, *lines, b""]))
    with pytest.raises(DamagedError) as refused:
        replay_chain([(first.ref, first.body), (ref, body)])
    assert str(refused.value).startswith(f"{ref.key} is damaged: ")
    assert why in str(refused.value)


def test_a_directory_may_become_a_link_when_its_entries_are_removed():
    before = SnapshotTree({"d": D, "d/f": F, "h": HardLink("h", "d/f")})
    after = SnapshotTree({"d": Symlink("d", "elsewhere", 0)})
    generation, tree, bodies = chained((before, next_manifest), (after, chain.new_delta))
    assert read(generation, bodies) == tree == after


def test_no_manifest_is_the_empty_tree():
    assert replay_chain([]) == SnapshotTree()
