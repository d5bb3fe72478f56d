"""The job is detected from the environment, and never guessed."""

import json
from pathlib import Path

import pytest

from reconcile.ci.environment import BaseCommit, MergeBase, UnknownBase, detect_job
from reconcile.ci.github import GitHubComments
from reconcile.ci.gitlab import GitLabNotes
from reconcile.core.errors import SourceError

BASE, MERGED = "b" * 40, "c" * 40


def pull_event(head_repo=1):
    return {
        "pull_request": {
            "number": 5,
            "base": {"sha": BASE, "repo": {"id": 1}},
            "head": {"sha": "d" * 40, "repo": head_repo and {"id": head_repo}},
        }
    }


@pytest.fixture
def on_github(tmp_path):
    def environ(event, name="pull_request", **more):
        path = tmp_path / "event.json"
        path.write_text(event if isinstance(event, str) else json.dumps(event))
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": name,
            "GITHUB_EVENT_PATH": str(path),
            "GITHUB_SHA": MERGED,
            **more,
        }

    return environ


ON_GITLAB = {
    "GITLAB_CI": "true",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": BASE,
    "CI_MERGE_REQUEST_PROJECT_ID": "12",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "12",
}


def test_a_pull_request_on_github(on_github):
    job = detect_job(on_github(pull_event(), RECONCILE_TOKEN="t"))
    assert (job.forge, job.is_fork) == ("github", False)
    assert job.base == MergeBase(BASE, MERGED)
    assert isinstance(job.comments, GitHubComments)


@pytest.mark.parametrize("head", [2, None], ids=["fork", "deleted fork"])
def test_a_change_from_a_fork_is_detected(on_github, head):
    assert detect_job(on_github(pull_event(head))).is_fork


def test_without_a_token_there_is_no_comment_and_it_is_said_why(on_github):
    for environ in (on_github(pull_event()), ON_GITLAB):
        job = detect_job(environ)
        assert job.comments is None
        assert job.no_comment_reason == "there is no token in $RECONCILE_TOKEN"


@pytest.mark.parametrize(
    ("event", "start"),
    [
        ({"before": BASE}, BaseCommit(BASE)),
        ({"before": "0" * 40}, UnknownBase()),
        ({"merge_group": {"base_sha": BASE}}, BaseCommit(BASE)),
        ({}, UnknownBase()),
        ([], UnknownBase()),
    ],
)
def test_other_events_have_nowhere_to_comment(on_github, event, start):
    job = detect_job(on_github(event, "push", RECONCILE_TOKEN="t"))
    assert (job.comments, job.base) == (None, start)
    assert "not a pull request" in job.no_comment_reason


@pytest.mark.parametrize("name", ["pull_request_target", "workflow_run", "issue_comment"])
def test_events_that_give_untrusted_authors_our_permissions_are_refused(on_github, name):
    with pytest.raises(SourceError, match=f"{name} has the permissions"):
        detect_job(on_github(pull_event(), name))


def test_an_unreadable_event_is_an_error(on_github):
    with pytest.raises(SourceError, match="cannot be read"):
        detect_job(on_github("{"))
    with pytest.raises(SourceError, match="cannot be read"):
        detect_job({**on_github({}), "GITHUB_EVENT_PATH": "/nowhere"})


def test_a_merge_request_on_gitlab():
    job = detect_job({**ON_GITLAB, "RECONCILE_TOKEN": "t"})
    assert (job.forge, job.is_fork, job.base) == ("gitlab", False, BaseCommit(BASE))
    assert isinstance(job.comments, GitLabNotes)


def test_a_merged_results_pipeline_is_compared_with_the_target():
    job = detect_job({**ON_GITLAB, "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": MERGED})
    assert job.base == BaseCommit(MERGED)


def test_a_merge_request_from_a_fork_is_detected():
    assert detect_job({**ON_GITLAB, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "13"}).is_fork


@pytest.mark.parametrize(("before", "start"), [(BASE, BaseCommit(BASE)), ("0" * 40, UnknownBase())])
def test_a_branch_pipeline_has_nowhere_to_comment(before, start):
    job = detect_job({"GITLAB_CI": "true", "CI_COMMIT_BEFORE_SHA": before})
    assert (job.comments, job.base) == (None, start)


def test_elsewhere_there_is_nothing_but_the_log():
    assert detect_job({}).comments is None


@pytest.mark.parametrize(
    ("pull", "field"),
    [
        ({"number": 1}, "base.sha"),
        ({"number": 1, "base": None}, "base.sha"),
        ({"number": 1, "base": []}, "base.sha"),
        ({"number": 1, "base": {"sha": 5}}, "base.sha"),
        ({"number": 1, "base": {"sha": "--upload-pack=x"}}, "base.sha"),
        ({"base": {"sha": BASE}}, "number"),
        ({"number": "1", "base": {"sha": BASE}}, "number"),
        ({"number": True, "base": {"sha": BASE}}, "number"),
        ({"number": 1e99, "base": {"sha": BASE}}, "number"),
    ],
)
def test_a_field_that_an_event_lacks_is_named(on_github, pull, field):
    with pytest.raises(SourceError, match=f"has no usable `pull_request.{field}`"):
        detect_job(on_github({"pull_request": pull}))


@pytest.mark.parametrize(
    ("head", "base"),
    [
        (None, None),
        ({}, {}),
        ({"repo": None}, {"repo": {"id": 1}}),
        ({"repo": {"id": 1}}, {"repo": {}}),
        ({"repo": {"id": 1}}, {"repo": {"id": True}}),
        ({"repo": 1}, {"repo": 1}),
        (5, {}),
    ],
)
def test_a_change_of_unknown_origin_counts_as_one_from_a_fork(on_github, head, base):
    base = {"sha": BASE, **(base or {})}
    assert detect_job(
        on_github({"pull_request": {"number": 1, "head": head, "base": base}})
    ).is_fork


@pytest.mark.parametrize("event", [{"pull_request": None}, {"pull_request": 5}, {}, [], 5, "null"])
def test_an_event_without_a_pull_request_has_no_comment(on_github, event):
    job = detect_job(on_github(event))
    assert (job.base, job.comments) == (UnknownBase(), None)


@pytest.mark.parametrize("event", ["", "{", "[" * 5000, "\udcff"])
def test_an_event_that_is_not_json_is_refused(on_github, event):
    environ = on_github("")
    Path(environ["GITHUB_EVENT_PATH"]).write_bytes(event.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match="cannot be read as JSON"):
        detect_job(environ)


@pytest.mark.parametrize("number", ["x", "-1", "\u0661", "9" * 5000, " "])
def test_a_merge_request_has_a_number(number):
    with pytest.raises(SourceError, match="CI_MERGE_REQUEST_IID is not the number"):
        detect_job({**ON_GITLAB, "CI_MERGE_REQUEST_IID": number})
