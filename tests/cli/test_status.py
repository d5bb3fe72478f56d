"""status: what the sessions are doing."""

import pytest

from tests.session_files import OTHER_POD

# status


def test_status_shows_what_the_sessions_are_doing(tree):
    tree.add("two", "state: Stopped").go("apply")
    ended = tree.go("status")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].split()[:4] == ["NAMESPACE", "SESSION", "WANTED", "PHASE"]
    assert lines[1].split()[:4] == ["team-a", "one", "Running", "Running"]
    assert lines[2].split()[:4] == ["team-a", "two", "Stopped", "Stopped"]


def test_status_is_printed_as_json_and_wide(tree):
    tree.go("apply")
    tree.add("one", OTHER_POD).go("apply")
    (session,) = tree.go("status", "-o", "json").json["sessions"]
    assert session["held"] == ["Replace Pod team-a/one-runner: RUNNING_WORK"]
    wide = tree.go("status", "-o", "wide").out
    assert "DIGEST" in wide
    assert "! Replace Pod team-a/one-runner: RUNNING_WORK" in wide


def test_status_of_one_namespace(tree):
    tree.add("two", namespace="team-b").go("apply")
    ended = tree.go("status", "-n", "team-b")
    assert "two" in ended.out
    assert "team-a" not in ended.out
    both = tree.go("status", "-n", "team-b", "-n", "team-a")
    assert "team-a" in both.out


def test_status_without_sessions_says_so(tree):
    assert tree.go("status", "-n", "other").out == "No sessions.\n"


def test_a_session_that_was_never_applied_is_shown(tree):
    ended = tree.go("status")
    assert "NotApplied" in ended.out


@pytest.mark.parametrize("form", ["text", "wide", "json"])
def test_a_secret_that_only_the_live_pod_has_is_masked_in_what_its_containers_wrote(tree, form):
    tree.add("one", 'environmentVariables: {API_TOKEN: "c4n4ry-before"}').go("apply")
    tree.add("one", 'environmentVariables: {API_TOKEN: "c4n4ry-after"}')
    ended = {"exitCode": 3, "reason": "Error", "message": "c4n4ry-before\nwas refused"}
    runner = "/status/containerStatuses/0"
    tree.edit(
        "Pod",
        "one-runner",
        {"op": "add", "path": f"{runner}/restartCount", "value": 2},
        {"op": "add", "path": f"{runner}/lastState", "value": {"terminated": ended}},
    )
    shown = tree.go("status", "-o", form).out
    assert "container runner was restarted 2 times; before, it ended with exit code 3: " in shown
    assert " | was refused" in shown
    assert "c4n4ry" not in shown
