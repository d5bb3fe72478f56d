"""URLs, branches and paths that git could misread."""

import pytest

from tests.core.spec.documents import problems, session

BRANCH = "must be a valid branch name (see git-check-ref-format)"
URL = "must be an https or ssh URL such as https://host/team/repo or git@host:team/repo"
CREDENTIALS = "has credentials in it: remove them, and give them to the runner in a Secret"
HELPER = "names a remote helper (`ext::` and the like), which git would run as a program"
OPTION = "begins with `-`: git would read it as an option"
INSIDE = "must be a path inside the repository"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-uhttps://x/y", OPTION),
        ("--upload-pack=x", OPTION),
        ("ext::sh", HELPER),
        ("file::/etc", HELPER),
        ("fd::17", HELPER),
        ("a+b.c::x", HELPER),
        ("file:///etc/passwd", URL),
        ("/srv/repo", URL),
        ("../repo", URL),
        ("ssh://-oProxyCommand=x/y", URL),
        ("git@-oProxyCommand=x:y", URL),
        ("git@host:-x", URL),
        ("ftp://host/x", URL),
        ("https://host", URL),
        ("host", URL),
        ("https://user:pass@host/x", CREDENTIALS),
        ("https://token@host/x", CREDENTIALS),
        ("https://@host/x", CREDENTIALS),
        ("ssh://git:pass@host/x", CREDENTIALS),
        ("https://a:b@c@host/x", URL),
        (
            "https://host/x?token=y",
            "has a query or a fragment: remove it, and give credentials in a Secret",
        ),
        (
            "https://host/x#y",
            "has a query or a fragment: remove it, and give credentials in a Secret",
        ),
    ],
)
def test_a_repository_url_that_git_could_misread_is_refused(value, message):
    found = problems(session(f"repos:\n- url: '{value}'"))
    assert found == [f"team-a/x.yaml:7:10: spec.repos[0].url: {message}"]
    assert "pass" not in found[0].replace("password", "")


@pytest.mark.parametrize(
    "value",
    [
        "https://github.com/team/repo.git",
        "http://gitea.svc:3000/team/repo",
        "ssh://git@host:2222/team/repo",
        "ssh://host/team/repo",
        "git://host/repo",
        "git@github.com:team/repo.git",
        "https://[::1]:8443/team/repo",
        "https://host/team/repo@v1",
    ],
)
def test_a_repository_url_of_the_usual_forms_is_accepted(value):
    assert problems(session(f"repos:\n- url: '{value}'")) == []


@pytest.mark.parametrize("control", ["\\n", "\\t", "\\x1b", "\\u2028", "\\x7f", " "])
def test_a_repository_url_with_blanks_or_control_characters_is_refused(control):
    (found,) = problems(session(f'repos:\n- url: "https://host/x{control}y"'))
    assert found.endswith("git@host:team/repo, without spaces and control characters")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-b", OPTION),
        ("", BRANCH),
        ("/a", BRANCH),
        (".a", BRANCH),
        ("a/", BRANCH),
        ("a//b", BRANCH),
        ("a/.b", BRANCH),
        ("a..b", BRANCH),
        ("a.lock", BRANCH),
        ("a.lock/b", BRANCH),
        ("a.", BRANCH),
        ("a@{b", BRANCH),
        ("@", BRANCH),
        ("HEAD", BRANCH),
        ("a b", BRANCH),
        ("a~b", BRANCH),
        ("a^b", BRANCH),
        ("a:b", BRANCH),
        ("a?b", BRANCH),
        ("a*b", BRANCH),
        ("a[b", BRANCH),
        ("a\\b", BRANCH),
        ("x" * 245, BRANCH),
    ],
)
def test_a_branch_that_git_would_refuse_or_misread_is_refused(value, message):
    found = problems(session(f"activeWorkflow:\n  branch: '{value}'"))
    assert found == [f"team-a/x.yaml:7:13: spec.activeWorkflow.branch: {message}"]


@pytest.mark.parametrize("value", ["main", "feature/x-1", "release-1.2", "ünïcode", "a.lockx"])
def test_a_branch_of_the_usual_forms_is_accepted(value):
    assert problems(session(f"activeWorkflow: {{branch: '{value}'}}")) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("/etc", INSIDE),
        ("-x", INSIDE),
        ("a/../../b", INSIDE),
        ("a\\x07b", f"{INSIDE}, without control characters"),
        ("a\\\\b", f"{INSIDE}, without control characters"),
        ("x" * 2049, f"{INSIDE}, without control characters"),
    ],
)
def test_a_workflow_path_that_leaves_the_repository_is_refused(value, message):
    found = problems(session(f'activeWorkflow: {{path: "{value}"}}'))
    assert found == [f"team-a/x.yaml:6:26: spec.activeWorkflow.path: {message}"]


@pytest.mark.parametrize("value", ["", "a", "a/b.c", "..a"])
def test_a_workflow_path_inside_the_repository_is_accepted(value):
    assert problems(session(f"activeWorkflow: {{path: '{value}'}}")) == []
