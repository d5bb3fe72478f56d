"""status: what the sessions are doing."""


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
    tree.add("one", "initialPrompt: changed").go("apply")
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
