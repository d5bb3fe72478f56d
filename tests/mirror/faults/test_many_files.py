"""More files than the limit: it is reported, the work is stored, and others do not wait."""

import json
import socket
import urllib.request

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.compare_trees import differences, facts
from tests.mirror.faults.faulty_session import quick

LIMIT = 60
LIMITED = f"--max-files={LIMIT}"


def flood(root, folders=20):
    for folder in range(folders):
        (root / f"flood/{folder:02}").mkdir(parents=True, exist_ok=True)
        for name in range(10):
            (root / f"flood/{folder:02}/{name}").write_bytes(b"%d" % name)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def ask(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read().decode()


def test_a_flood_is_reported_everywhere_and_other_work_is_stored(session):
    pod, port = session.pod("one"), free_port()
    pod.hydrate()
    pod.write("work/code", b"1")
    flood(pod.root)
    with session.start("sync", pod, *quick(pod, LIMITED, f"--port={port}")) as running:
        said = running.until("too many files")
        running.until("committed")
        pod.write("work/more", b"2")
        running.until("committed", 2)
        detail, metrics = json.loads(ask(port, "/readyz")), ask(port, "/metrics")
        running.process.terminate()
        ended = running.ended()
    assert ended.code == MirrorExitCode.OK
    assert (said["taken"], said["beyond"]) == (LIMIT, detail["overLimitEntries"] - 1)
    assert said["such_as"][0].startswith("flood/")
    assert f"reconcile_mirror_over_limit_entries {detail['overLimitEntries']:.1f}" in metrics
    message = json.loads((pod.root.parent / "termination").read_bytes())
    assert message["outcome"] == "flushed"
    assert message["overLimitEntries"] == detail["overLimitEntries"]
    assert "--max-files" in message["reason"]
    assert_work_is_stored(session, pod)


def assert_work_is_stored(session, pod):
    later = session.pod("later")
    later.hydrate()
    found = facts(later.root)
    assert len(found) == LIMIT
    assert found.keys() >= {b"work/code", b"work/more"}
    assert found.items() <= facts(pod.root).items()


def test_when_the_flood_is_gone_everything_is_stored_again(session):
    pod = session.pod("one")
    pod.hydrate()
    flood(pod.root)
    with session.start("sync", pod, *quick(pod, LIMITED)) as running:
        running.until("too many files")
        for folder in range(15):
            (pod.root / f"flood/{folder:02}").rename(pod.root.parent / f"{folder}")
        running.until("all files have room again")
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
    later = session.pod("later")
    later.hydrate()
    assert differences(pod.root, later.root) == []


def test_another_workspace_is_stored_at_the_same_time(session):
    pod, other = session.pod("one"), session.pod("two")
    neighbour = session.other_session("team/other/")
    pod.hydrate()
    flood(pod.root)
    with session.start("sync", pod, *quick(pod, LIMITED)) as running:
        running.until("too many files")
        assert neighbour.run("hydrate", other).code == MirrorExitCode.OK
        other.write("theirs", b"x")
        assert neighbour.run("sync", other, "--once").names() == ["committed"]
        running.process.terminate()
        assert running.ended().code == MirrorExitCode.OK
