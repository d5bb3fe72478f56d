"""The steps of the Action, with a real repository and a real endpoint."""

import json
import re
import sys
from pathlib import Path

import pytest

from reconcile.ci.output import build_marker
from reconcile.cli.exit_codes import ExitCode
from tests.ci.action_runner import Action
from tests.ci.forges import READER, WRITER, GitHub, serving
from tests.ci.repositories import Upstream
from tests.session_files import session_text

ROOT = Path(__file__).parent.parent.parent
PROGRAM = str(Path(sys.executable).with_name("reconcile"))


class Job:
    """A job for the pull request, each time in a checkout of its own."""

    def __init__(self, folder, github):
        self.folder = folder
        self.github = github
        self.upstream = Upstream(folder)
        self.head_repo = 1
        self._runs = 0

    def run(self, token=WRITER, ref="refs/pull/5/merge", **inputs):
        self._runs += 1
        place = self.folder / f"job-{self._runs}"
        place.mkdir()
        workspace = self.upstream.checkout(place / "workspace", ref)
        inputs = {"program": PROGRAM, **inputs}
        return Action(ROOT).run(workspace, place, self._environ(place, token), **inputs)

    def _environ(self, place, token):
        base = {"sha": self.upstream.main, "repo": {"id": 1}}
        head = {"sha": self.upstream.head, "repo": {"id": self.head_repo}}
        event = place / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 5, "base": base, "head": head}}))
        return {
            "JOB_TOKEN": token,
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_SHA": self.upstream.merged,
            "GITHUB_REPOSITORY": "acme/sessions",
            "GITHUB_API_URL": self.github.url,
            "GITHUB_GRAPHQL_URL": f"{self.github.url}/graphql",
            # The review needs no network, and no file of the home folder.
            "HOME": "/nonexistent",
            "KUBECONFIG": "/nonexistent",
        }


@pytest.fixture
def job(tmp_path, github):
    return Job(tmp_path, github)


def body_of(github):
    (body,) = github.bodies()
    return body.replace("\r\n", "\n")


def test_the_first_run_creates_the_second_updates_the_third_says_that_nothing_changed(job, github):
    first = job.run()
    assert not first.failed, first.log
    assert first.outputs["comment"] == "created"
    assert "team-a/two" in body_of(github)
    job.upstream.push("desired/team-a/four.yaml", session_text("four"))
    second = job.run()
    assert second.outputs["comment"] == "updated"
    assert "team-a/four" in body_of(github)
    writes = list(github.writes)
    third = job.run()
    assert third.outputs["comment"] == "unchanged"
    assert "Comment unchanged: https://github.example/" in third.log
    assert github.writes == writes
    urls = {ran.outputs["comment-url"] for ran in (first, second, third)}
    assert len(urls) == 1


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """One run that goes well, for all who want to look at it, and the comment that it left."""
    with serving(GitHub()) as forge:
        ran = Job(tmp_path_factory.mktemp("once"), forge).run()
        return ran, body_of(forge)


def test_changes_merged_by_others_are_not_in_the_diff(once):
    _, body = once
    assert "team-a/two" in body
    assert "team-a/three" not in body
    assert "team-a/one" not in body


def test_the_outputs_say_what_came_out(once):
    outputs = once[0].outputs
    assert (outputs["exit-code"], outputs["changes"]) == ("1", "true")
    assert re.fullmatch("sha256:[0-9a-f]{64}", outputs["digest"])
    assert f"`{outputs['digest']}`" in once[1]


def test_the_summary_has_what_the_comment_has(once):
    ran, body = once
    assert ran.summary.strip() == body.strip()
    assert body.startswith(build_marker("desired", live=False))


def test_the_token_is_nowhere_in_the_log(once):
    assert WRITER not in once[0].log
    assert "Comment created" in once[0].log


def test_a_checkout_of_the_branch_itself_shows_the_same_sessions(job, github):
    assert not job.run(ref="refs/pull/5/head").failed
    assert "team-a/two" in body_of(github)
    assert "team-a/three" not in body_of(github)


def test_a_broken_file_is_annotated_fails_the_job_and_is_in_the_comment(job, github):
    broken = session_text("two", "initialPromt: work")
    job.upstream.push("desired/team-a/two.yaml", broken)
    ran = job.run()
    assert ran.failed
    assert "::error file=desired/team-a/two.yaml,line=" in ran.log
    assert "initialPromt" in body_of(github)
    assert (ran.outputs["exit-code"], ran.outputs["changes"]) == ("3", "")
    assert ran.outputs["comment"] == "created"


def test_a_change_of_nothing_is_a_comment_that_says_so(job, github):
    ran = job.run(against=job.upstream.merged)
    assert (ran.outputs["exit-code"], ran.outputs["changes"]) == ("0", "false")
    assert "no changes" in body_of(github)


def test_a_revision_that_is_not_there_is_a_comment_that_says_so(job, github):
    ran = job.run(against="no-such-branch")
    assert ran.failed
    assert "no-such-branch" in body_of(github)
    assert WRITER not in ran.log
    assert ran.outputs["exit-code"] not in ("0", "1")


def test_a_fork_has_the_diff_in_the_summary_and_a_notice(job, github):
    job.head_repo = 2
    ran = job.run(token=READER)
    assert not ran.failed
    assert github.comments == {}
    assert "team-a/two" in ran.summary
    assert "::notice title=reconcile::No comment: the change comes from a fork" in ran.log


def test_a_comment_that_cannot_be_written_fails_a_job_in_which_all_is_well(job, github):
    ran = job.run(token="wrong")
    assert ran.steps[-1].code == ExitCode.COMMENT_FAILED
    assert "::error title=reconcile::No comment: list the comments: 401" in ran.log
    assert "team-a/two" in ran.summary
    assert github.comments == {}


@pytest.mark.cluster
def test_a_live_diff_is_a_comment_of_its_own(job, github, control_plane):
    job.run()
    ran = job.run(live="true", kubeconfig=str(control_plane.kubeconfig("admin")))
    assert not ran.failed, ran.log
    offline, live = github.bodies()
    assert offline.startswith(build_marker("desired", live=False))
    assert live.startswith(build_marker("desired", live=True))
    # Nothing of it is in the cluster: what was there before the change is missing too.
    assert "team-a/one" in live
    assert "team-a/one" not in offline


def test_changes_can_fail_the_job(job):
    assert job.run(**{"fail-on": "changes"}).failed


def test_no_input_is_taken_for_a_command(job):
    trap = job.folder / "trap"
    ran = job.run(folder=f"$(touch {trap})`touch {trap}`; touch {trap} #", comment="false")
    assert ran.failed
    assert not trap.exists()


def test_a_folder_that_looks_like_an_option_is_a_folder(job):
    assert job.run(folder="--help", comment="false").outputs["exit-code"] == "4"


def test_an_invalid_input_is_an_error(job):
    ran = job.run(**{"fail-on": "sometimes"})
    assert ran.failed
    assert "'sometimes' is not one of" in ran.log


def test_a_folder_elsewhere_is_found_from_the_working_directory(job, github):
    job.upstream.push("teams/desired/policy.yaml", "kind: Nothing\n")
    ran = job.run(**{"working-directory": "teams"})
    assert ran.failed
    assert "::error file=teams/desired/policy.yaml" in ran.log
    assert body_of(github).startswith(build_marker("teams/desired", live=False))


def test_the_action_installs_the_program_from_its_own_checkout(job, github):
    ran = job.run(program="")
    assert [step.name for step in ran.steps] == ["Install reconcile", "Review the change"]
    assert not ran.failed, ran.log
    assert "team-a/two" in body_of(github)
