"""A session that has made many small commits, on a server: few packs, few requests, all there."""

import os

from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.mirror.snapshot.repack import NEVER_REPACK
from tests.mirror.compare_trees import differences

COMMITS = 34


def packs(session, method):
    """How many packs the processes have put or got."""
    asked = session.front.received
    return sum(each.method == method and "/packs/" in each.path for each in asked)


def test_many_small_packs_become_one_and_a_restore_takes_one_request_for_them(session):
    pod = session.pod("one")
    pod.hydrate()
    syncer = pod.syncer()
    for number in range(COMMITS):
        pod.write(f"f{number}", b"%d" % number)
        syncer.run(pod.pass_options(thrift=NEVER_REPACK))
    for path in pod.root.iterdir():
        os.utime(path, (1, 1))
    pod.write("last", b"last")
    done = session.run("sync", pod, "--once")
    assert done.code == MirrorExitCode.OK
    assert done.events[-1]["repacked"] == COMMITS + 1
    assert (packs(session, "GET"), packs(session, "PUT")) == (COMMITS + 1, 2)
    assert len(list(session.store().list("packs/"))) == COMMITS + 2
    session.front.reset()
    new = session.pod("new")
    assert session.run("hydrate", new).code == MirrorExitCode.OK
    assert packs(session, "GET") == 1
    assert differences(pod.root, new.root) == []
