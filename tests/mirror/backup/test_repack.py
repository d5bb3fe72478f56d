"""A commit repacks many small packs into few; a failure of that never fails the commit."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.mirror.backup.repack import MIN_TIME_LEFT
from reconcile.mirror.errors import DeniedError, StoreAwayError
from reconcile.mirror.head import read_cached_tree, read_head
from reconcile.mirror.history.generations import read_generation_index
from reconcile.mirror.history.log import ChangeSummary, GenerationLog
from reconcile.mirror.snapshot.chain import MAX_DELTAS
from reconcile.mirror.snapshot.gc import DELETE_INTENTS, DeleteIntent, encode_delete_intent
from reconcile.mirror.snapshot.repack import DEFAULT_REPACK_POLICY, RepackPolicy, count_live_bytes
from tests.mirror.memory_store import MemoryStore, requests
from tests.mirror.mirror_pod import MirrorPod, listing

EAGER = RepackPolicy(max_small_packs=1, min_freed_bytes=1)
"""Repacks at each base."""


def needed(pod):
    """The packs of the committed tree."""
    generation = read_head(pod.store).head.generation
    tree = read_cached_tree(pod.store, pod.state, generation)
    return [tree.packs[number] for number, live in count_live_bytes(tree).items() if live]


def objects(memory, prefix="packs/"):
    return {key for key in memory.bucket.objects if key.startswith(prefix)}


@pytest.fixture
def due(pod, memory):
    """A pod with 40 packs, in which so much is changed that a base is due."""
    syncer = pod.syncer()
    for number in range(40):
        pod.write(f"f{number:02}", b"%d" % number)
        syncer.run(pod.pass_options(thrift=RepackPolicy(max_small_packs=1000)))
    assert len(needed(pod)) == 40
    for path in pod.root.iterdir():
        os.utime(path, (1, 1))
    pod.write("last", b"last")
    memory.bucket.requests.clear()
    return pod


def test_packs_and_requests_of_a_restore_stay_bounded_over_many_small_commits(
    pod, successor, memory
):
    syncer = pod.syncer()
    most = 0
    for number in range(300):
        pod.write(f"d{number % 7}/f{number}", b"%d" % number * 20)
        assert syncer.run(pod.pass_options()).is_committed
        most = max(most, len(needed(pod)))
    bound = DEFAULT_REPACK_POLICY.max_small_packs + 1 + MAX_DELTAS + 1
    assert most <= bound
    memory.bucket.requests.clear()
    successor.hydrate()
    assert len(requests(memory)) <= bound + MAX_DELTAS + 1 + 2
    assert listing(successor.root) == listing(pod.root)


def test_a_due_base_names_few_packs_and_keeps_all_files(due, successor, memory):
    before = objects(memory)
    done = due.sync()
    assert done.repacked_packs >= 40
    assert done.repack_error == ""
    assert len(needed(due)) == 1
    assert before < objects(memory)
    assert "delete" not in {request.method for request in memory.bucket.requests}
    assert done.sent_bytes == sum(
        len(memory.bucket.objects[key][0]) for key in objects(memory) - before
    )
    successor.hydrate()
    assert listing(successor.root) == listing(due.root)


def test_after_a_repack_a_change_costs_as_much_as_before(due, memory):
    syncer = due.syncer()
    syncer.run(due.pass_options())
    memory.bucket.requests.clear()
    due.write("more", b"other")
    syncer.run(due.pass_options())
    assert requests(memory) == ["put packs", "put manifests", "list sweep", "put_if HEAD"]
    due.write("again", b"last")
    memory.bucket.requests.clear()
    assert syncer.run(due.pass_options()).sent_bytes == 0


@pytest.mark.parametrize("method", ["get", "put"])
@pytest.mark.parametrize("error", [StoreAwayError("away"), DeniedError("403")])
def test_a_store_that_fails_during_a_repack_does_not_fail_the_commit(
    due, successor, script, method, error
):
    # The first get is HEAD's, the first put that of the new file.
    script.left += [(method, False, lambda: None), (method, False, lambda: error)]
    done = due.sync()
    assert done.is_committed
    assert done.repack_error == str(error)
    assert done.repacked_packs == 0
    successor.hydrate()
    assert listing(successor.root) == listing(due.root)


def test_a_damaged_or_missing_pack_stays_and_the_others_are_repacked(due, memory):
    altered, gone, *others = [f"packs/{pack.digest}.tar" for pack in needed(due)]
    body, written = memory.bucket.objects[altered]
    flipped = body[:512] + bytes([body[512] ^ 1]) + body[513:]
    memory.bucket.objects[altered] = (flipped, written)
    del memory.bucket.objects[gone]
    done = due.sync()
    assert done.is_committed
    assert done.repack_error
    assert done.repacked_packs == len(others) + 1
    left = {f"packs/{pack.digest}.tar" for pack in needed(due)}
    assert len(left) == 3
    assert {altered, gone} < left


@pytest.mark.parametrize(
    "effort",
    [{"final": True}, {"ends": 1000 + MIN_TIME_LEFT - 1}, {"asked": None}],
    ids=["final", "limit near", "asked to end meanwhile"],
)
def test_a_pass_near_its_deadline_does_not_repack(due, successor, script, effort):
    before = len(needed(due))
    if "asked" in effort:
        asked = []
        script.left += [("get", False, lambda: None), ("get", False, lambda: asked.append(1))]
        effort = {"asked": lambda: bool(asked)}
    done = due.sync(**effort)
    assert done.is_committed
    assert (done.repacked_packs, done.repack_error) == (0, "")
    assert len(needed(due)) == before + 1
    successor.hydrate()
    assert listing(successor.root) == listing(due.root)


def test_a_repack_keeps_what_it_had_time_for(due, script, successor):
    gets = []
    script.always_before("get", lambda: (gets.append(1), due.clock.sleep(5)))
    done = due.sync()
    assert 0 < done.repacked_packs < 10
    assert done.repack_error == ""
    successor.hydrate()
    assert listing(successor.root) == listing(due.root)


def test_a_new_pack_that_is_being_deleted_is_not_used_and_the_commit_succeeds(
    due, successor, memory, script
):
    """A packing that failed before may have left the same pack, which is garbage by now."""

    def announce():
        key = [r.key for r in memory.bucket.requests if r.key.startswith("packs/")][-1]
        notice = encode_delete_intent(DeleteIntent(due.clock.time_ns(), (key,)))
        memory.bucket.objects[f"{DELETE_INTENTS}x.json"] = (notice, due.clock.seconds)

    memory.bucket.now = lambda: due.clock.seconds
    script.before("list", announce)
    before = len(needed(due))
    done = due.sync()
    assert done.is_committed
    assert done.repacked_packs == 0
    assert len(needed(due)) == before + 1
    successor.hydrate()
    assert listing(successor.root) == listing(due.root)


def test_the_log_does_not_report_new_places_as_changes(pod, memory):
    for name in ("a", "b", "c"):
        pod.write(name, name.encode() * 50)
        done = pod.sync(thrift=EAGER)
    assert done.repacked_packs
    summaries = [
        one.change for one in GenerationLog(memory, read_generation_index(memory)).read_entries()
    ]
    assert summaries == [ChangeSummary(1, 50, 0)] * 3


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d/e", "d/f", "d/g"]),
        st.one_of(st.none(), st.integers(0, 5), st.just(5 << 20)),
    ),
    min_size=1,
    max_size=30,
)


def edit(pod, path, content):
    """Write a small file with few possible contents, a large one, or none."""
    target = pod.root / path
    if content is None:
        target.unlink(missing_ok=True)
    elif content <= 5:
        pod.write(path, b"%d" % content * 100)
    else:
        pod.write(path, bytes(content))


@settings(deadline=None, max_examples=60)
@given(EDITS, st.sampled_from([EAGER, RepackPolicy(max_small_packs=2), DEFAULT_REPACK_POLICY]))
def test_after_any_edits_the_restored_tree_is_the_same_and_packs_are_few(edits, thrift):
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryStore()
        pod = MirrorPod(Path(folder), "one", memory)
        pod.hydrate()
        syncer = pod.syncer()
        for number, (path, content) in enumerate(edits):
            edit(pod, path, content)
            syncer.run(pod.pass_options(thrift=thrift))
            if not number % 5:
                syncer = pod.syncer()
        assert len(needed(pod)) <= thrift.max_small_packs + 1 + MAX_DELTAS + 1
        new = MirrorPod(Path(folder), "two", memory)
        new.hydrate()
        assert listing(new.root) == listing(pod.root)
