"""The review: the commands it runs, its output, and how the job ends."""

import pytest

from reconcile.ci.forge import ProcessResult
from reconcile.ci.output import COMMENT_LIMIT, build_marker
from reconcile.ci.review import FailOn
from tests.ci.jobs import CHANGES, DIGEST, Programs

BROKEN = ProcessResult(3, "::error file=desired/a.yaml,line=1::no\n", "")


def test_the_diff_is_in_the_comment_in_the_summary_and_in_the_report(scene, job, github):
    report = scene.folder / "report.md"
    reviewed = scene.review(Programs(), job(), report=str(report))
    body = f"{build_marker('desired', live=False)}\n{CHANGES.out.strip()}"
    assert github.bodies() == [body]
    assert scene.summary.strip() == report.read_text().strip() == body
    assert (reviewed.is_failure, reviewed.comment_failed) == (False, False)


def test_later_steps_get_the_result_as_outputs(scene, job):
    scene.review(Programs(), job())
    url = scene.outputs.pop("comment-url")
    assert url.startswith("https://github.example/acme/sessions/pull/5#")
    expected = {"exit-code": "1", "changes": "true", "digest": DIGEST, "comment": "created"}
    assert expected.items() <= scene.outputs.items()


def test_no_change_is_an_output_and_in_the_comment(scene, job, github):
    scene.review(Programs(), job())
    scene.review(Programs(diffed=ProcessResult(0, "### no changes\n", "")), job())
    assert "### no changes" in github.bodies()[0]
    assert (scene.outputs["changes"], scene.outputs["comment"]) == ("false", "updated")
    assert scene.outputs["digest"] == ""


@pytest.mark.parametrize(
    ("diffed", "code"),
    [
        (ProcessResult(3, "### failed\n", "a.yaml:1:2: wrong"), 3),
        (ProcessResult(4, "", "Error: no such revision"), 4),
        (ProcessResult(2, "", "Usage: ... no such option"), 2),
        (ProcessResult(70, "", "Traceback ```` in it"), 70),
        (ProcessResult(137, "", ""), 137),
        (ProcessResult(1, "", "ModuleNotFoundError"), 70),
        (ProcessResult(0, " \n", ""), 70),
        (ProcessResult(127, "", "python: not found"), 127),
    ],
)
def test_a_failing_diff_leaves_a_comment_that_says_why_and_fails(scene, job, github, diffed, code):
    reviewed = scene.review(Programs(diffed=diffed), job())
    body = github.bodies()[0]
    assert (diffed.out.strip() or diffed.err or "(no output)") in body
    assert reviewed.is_failure
    assert scene.outputs["exit-code"] == str(code)
    assert scene.outputs["changes"] == ""


def test_what_a_failed_program_said_cannot_leave_its_fence(scene, job, github):
    said = "long\n" * 500 + "x" * 5_000 + "\n```\n<b>bold</b>\n`````\n"
    scene.review(Programs(diffed=ProcessResult(70, "", said)), job())
    body = github.bodies()[0]
    fences = [line for line in body.splitlines() if line.startswith("``````")]
    assert len(fences) == 2
    assert body.endswith(fences[1])
    assert len(body.encode()) < COMMENT_LIMIT


def test_a_base_that_cannot_be_found_is_a_comment_too(scene, job, github):
    reviewed = scene.review(Programs(), job(), against=None)
    assert "actions/checkout" in github.bodies()[0]
    assert (reviewed.code, reviewed.is_failure) == (4, True)


def test_a_broken_file_fails_the_job_though_the_diff_has_only_changes(scene, job):
    reviewed = scene.review(Programs(validated=BROKEN), job())
    assert (reviewed.code, reviewed.is_failure) == (3, True)
    assert scene.outputs["changes"] == ""
    assert BROKEN.out.strip() in scene.said


def test_a_validate_that_ends_with_1_has_not_run(scene, job):
    reviewed = scene.review(Programs(validated=ProcessResult(1, "", "ModuleNotFoundError")), job())
    assert (reviewed.code, reviewed.is_failure) == (70, True)


@pytest.mark.parametrize(
    ("fail_on", "code", "fails"),
    [
        (FailOn.ERROR, 0, False),
        (FailOn.ERROR, 1, False),
        (FailOn.ERROR, 3, True),
        (FailOn.CHANGES, 0, False),
        (FailOn.CHANGES, 1, True),
        (FailOn.CHANGES, 4, True),
        (FailOn.NEVER, 1, False),
        (FailOn.NEVER, 70, False),
    ],
)
def test_what_fails_the_job_is_chosen(scene, job, fail_on, code, fails):
    programs = Programs(diffed=ProcessResult(code, "### x\n", ""))
    assert scene.review(programs, job(), fail_on=fail_on).is_failure is fails
