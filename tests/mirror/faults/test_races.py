"""Two pods at once, answers that get lost, and a server that dies: real programs, real requests."""

import signal
import threading

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.compare_trees import differences, facts
from tests.mirror.faults.faulty_session import meanwhile, once, quick
from tests.s3.faults import PASS, Answer, Cut, Hang, When, first


@pytest.fixture
def pods(session):
    """A pod whose first generation is stored, and one that has done nothing yet."""
    old, new = session.pod("old"), session.pod("new")
    old.write("first", b"1")
    old.hydrate()
    old.sync()
    return old, new


def fresh_copy(session):
    """What a pod that comes later gets."""
    later = session.pod("later")
    later.hydrate()
    return later.root


def test_a_commit_before_the_successors_claim_is_in_what_it_restores(session, pods):
    old, new = pods
    old.write("second", b"2")
    session.front.plan = meanwhile(When.BEFORE, old.sync, of="/HEAD", method="PUT")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(old.root, new.root) == []
    assert session.head().writer.uid == new.claimant.uid


def test_a_commit_after_the_successors_claim_is_refused_and_says_by_whom(session, pods):
    old, new = pods
    before = facts(old.root)
    old.write("second", b"2")
    ended = []

    def commits():
        ended.append(session.run_process("sync", old, "--once"))

    session.front.plan = meanwhile(When.AFTER, commits, of="/HEAD", method="PUT")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    [zombie] = ended
    assert zombie.code == MirrorExitCode.FENCED
    assert new.claimant.uid in zombie.said
    assert facts(new.root) == before
    assert facts(fresh_copy(session)) == before


def test_a_claim_just_before_the_zombies_commit_fences_it(session, pods):
    old, new = pods
    before = facts(old.root)
    old.write("second", b"2")
    session.front.plan = meanwhile(When.BEFORE, new.hydrate, of="/HEAD", method="PUT")
    zombie = session.run("sync", old, "--once")
    assert zombie.code == MirrorExitCode.FENCED
    assert facts(new.root) == before
    assert facts(fresh_copy(session)) == before


def test_a_claim_just_after_the_zombies_commit_finds_it(session, pods):
    old, new = pods
    old.write("second", b"2")
    session.front.plan = meanwhile(When.AFTER, new.hydrate, of="/HEAD", method="PUT")
    assert session.run("sync", old, "--once").code == MirrorExitCode.OK
    assert differences(old.root, new.root) == []
    assert session.run("sync", old, "--once").code in {MirrorExitCode.OK, MirrorExitCode.FENCED}


def test_a_zombie_that_wakes_while_its_successor_works_never_writes_again(session, pods):
    old, new = pods
    with session.start("sync", old, *quick(old)) as zombie:
        zombie.until("sync begins")
        new.hydrate()
        new.write("newer", b"3")
        new.sync()
        old.write("second", b"2")
        ended = zombie.ended()
    assert ended.code == MirrorExitCode.FENCED
    assert differences(new.root, fresh_copy(session)) == []


@pytest.mark.parametrize("fault", [Cut(When.AFTER), Answer(503, "SlowDown")], ids=str)
@pytest.mark.parametrize("times", [1, 2])
def test_a_commit_whose_answer_is_lost_is_one_generation(session, pods, fault, times):
    old, _ = pods
    old.write("second", b"2")
    session.front.plan = first(times, fault, lambda asked: asked.is_write_of("/HEAD"))
    assert session.run("sync", old, "--once").code == MirrorExitCode.OK
    session.front.reset()
    assert session.run("sync", old, "--once").code == MirrorExitCode.OK
    assert session.head().generation.number == 2
    assert differences(old.root, fresh_copy(session)) == []


def test_a_claim_whose_answer_is_lost_is_recognised(session, pods):
    old, new = pods
    session.front.plan = once(Cut(When.AFTER), of="/HEAD", method="PUT")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert differences(old.root, new.root) == []
    assert session.head().writer.epoch == 2


def test_a_successor_takes_over_from_a_commit_that_hangs(session, pods):
    """The old pod's node is cut off in the middle of a commit, and comes back much later."""
    old, new = pods
    old.write("second", b"2")
    reached = threading.Event()

    def plan(asked):
        if asked.is_write_of("/HEAD") and not reached.is_set():
            reached.set()
            return Hang()
        return PASS

    session.front.plan = plan
    with session.start("sync", old, "--once") as zombie:
        assert reached.wait(60)
        zombie.process.send_signal(signal.SIGSTOP)
        number = new.hydrate().generation.number
        new.write("newer", b"3")
        new.sync()
        zombie.process.send_signal(signal.SIGCONT)
    assert number in {1, 2}
    assert differences(new.root, fresh_copy(session)) == []
