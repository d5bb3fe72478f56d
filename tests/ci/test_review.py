"""The review: what it runs, what it shows and says, and how the job ends."""

import json

import pytest

from reconcile.ci.body import LIMIT, SMALLEST, marker_of
from reconcile.ci.outlets import Outlets
from reconcile.ci.platform import TOKEN, Exactly, Job, job_of
from reconcile.ci.ports import Ended, Surroundings
from reconcile.ci.processes import run_process
from reconcile.ci.program import Live, Offline
from reconcile.ci.review import Asked, FailOn, Review
from reconcile.core.errors import SourceError
from tests.ci.forges import READER, WRITER
from tests.ci.repositories import ENVIRON

BASE = "b" * 40
DIGEST = f"sha256:{'a' * 64}"
CHANGES = Ended(1, f"### changes\n\nPlan digest: `{DIGEST}`\n", "")
FINE = Ended(0, "", "2 sessions can be used.")
BROKEN = Ended(3, "::error file=desired/a.yaml,line=1::no\n", "")


class Programs:
    """Stands for the program and for git; keeps what they were asked."""

    def __init__(self, validated=FINE, diffed=CHANGES):
        self.ends = {"validate": validated, "diff": diffed}
        self.calls = []

    def __call__(self, command, environ, folder):
        if command[0] == "git":
            return Ended(0, "", "")
        self.calls.append((list(command), dict(environ), folder))
        return self.ends[command[4]]

    def asked(self, name):
        return next(command[5:] for command, _, _ in self.calls if command[4] == name)


class Scene:
    """One review in one job, and all that it leaves."""

    def __init__(self, folder, clock):
        self.folder = folder
        self.clock = clock
        self.said = []
        self.environ = {
            **ENVIRON,
            TOKEN: WRITER,
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        }
        self.asked = {"against": Offline(BASE), "comment": True, "fail_on": FailOn.ERROR}

    def review(self, programs, job, **asked):
        around = Surroundings(self.environ, self.folder, programs)
        outlets = Outlets(job.forge, self.environ, self.said.append, lambda text: text)
        defaults = {"folder": "desired", "templates": "", "limit": LIMIT, "report": ""}
        whole = Asked(**{**defaults, **self.asked, **asked})
        return Review(whole, job, around, outlets).run(self.clock)

    @property
    def outputs(self):
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    @property
    def summary(self):
        return (self.folder / "summary").read_text()

    @property
    def log(self):
        return "\n".join(self.said)


@pytest.fixture
def scene(tmp_path, clock):
    return Scene(tmp_path, clock)


@pytest.fixture
def job(github, tmp_path):
    def made(token=WRITER, head_repo=1):
        pull = {"number": 5, "base": {"sha": BASE, "repo": {"id": 1}}}
        pull["head"] = {"repo": {"id": head_repo}}
        event = tmp_path / "event.json"
        event.write_text(json.dumps({"pull_request": pull}))
        return job_of(
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_EVENT_NAME": "pull_request",
                "GITHUB_EVENT_PATH": str(event),
                "GITHUB_REPOSITORY": "acme/sessions",
                "GITHUB_API_URL": github.url,
                "GITHUB_GRAPHQL_URL": f"{github.url}/graphql",
                TOKEN: token,
            }
        )

    return made


def test_the_diff_is_in_the_comment_in_the_summary_and_in_the_report(scene, job, github):
    report = scene.folder / "report.md"
    reviewed = scene.review(Programs(), job(), report=str(report))
    body = f"{marker_of('desired', live=False)}\n{CHANGES.out.strip()}"
    assert github.bodies() == [body]
    assert scene.summary.strip() == report.read_text().strip() == body
    assert (reviewed.fails, reviewed.uncommented) == (False, False)


def test_steps_that_follow_are_told_what_came_out(scene, job):
    scene.review(Programs(), job())
    url = scene.outputs.pop("comment-url")
    assert url.startswith("https://github.example/acme/sessions/pull/5#")
    expected = {"exit-code": "1", "changes": "true", "digest": DIGEST, "comment": "created"}
    assert expected.items() <= scene.outputs.items()


def test_no_change_is_told_and_the_comment_says_so(scene, job, github):
    scene.review(Programs(), job())
    scene.review(Programs(diffed=Ended(0, "### no changes\n", "")), job())
    assert "### no changes" in github.bodies()[0]
    assert (scene.outputs["changes"], scene.outputs["comment"]) == ("false", "updated")
    assert scene.outputs["digest"] == ""


@pytest.mark.parametrize(
    ("diffed", "code"),
    [
        (Ended(3, "### failed\n", "a.yaml:1:2: wrong"), 3),
        (Ended(4, "", "Error: no such revision"), 4),
        (Ended(2, "", "Usage: ... no such option"), 2),
        (Ended(70, "", "Traceback ```` in it"), 70),
        (Ended(137, "", ""), 137),
        (Ended(1, "", "ModuleNotFoundError"), 70),
        (Ended(0, " \n", ""), 70),
        (Ended(127, "", "python: not found"), 127),
    ],
)
def test_a_failing_diff_leaves_a_comment_that_says_why_and_fails(scene, job, github, diffed, code):
    reviewed = scene.review(Programs(diffed=diffed), job())
    body = github.bodies()[0]
    assert (diffed.out.strip() or diffed.err or "It said nothing.") in body
    assert reviewed.fails
    assert scene.outputs["exit-code"] == str(code)
    assert scene.outputs["changes"] == ""


def test_what_a_failed_program_said_cannot_leave_its_fence(scene, job, github):
    said = "long\n" * 500 + "x" * 5_000 + "\n```\n<b>bold</b>\n`````\n"
    scene.review(Programs(diffed=Ended(70, "", said)), job())
    body = github.bodies()[0]
    fences = [line for line in body.splitlines() if line.startswith("``````")]
    assert len(fences) == 2
    assert body.endswith(fences[1])
    assert len(body.encode()) < LIMIT


def test_a_base_that_cannot_be_found_is_a_comment_too(scene, job, github):
    class Lost(Programs):
        def __call__(self, command, environ, folder):
            if command[0] == "git":
                return Ended(128, "", "fatal: no")
            return super().__call__(command, environ, folder)

    reviewed = scene.review(Lost(), job(), against=None)
    assert "actions/checkout" in github.bodies()[0]
    assert (reviewed.code, reviewed.fails) == (4, True)


def test_a_broken_file_fails_the_job_though_the_diff_has_only_changes(scene, job):
    reviewed = scene.review(Programs(validated=BROKEN), job())
    assert (reviewed.code, reviewed.fails) == (3, True)
    assert scene.outputs["changes"] == ""
    assert BROKEN.out.strip() in scene.said


def test_a_validate_that_ends_with_1_has_not_run(scene, job):
    reviewed = scene.review(Programs(validated=Ended(1, "", "ModuleNotFoundError")), job())
    assert (reviewed.code, reviewed.fails) == (70, True)


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
    programs = Programs(diffed=Ended(code, "### x\n", ""))
    assert scene.review(programs, job(), fail_on=fail_on).fails is fails


def test_a_fork_gets_a_notice_and_the_summary(scene, job, github):
    reviewed = scene.review(Programs(), job(READER, head_repo=2))
    assert github.comments == {}
    assert "::notice title=reconcile::No comment: the change comes from a fork" in scene.log
    assert CHANGES.out.strip() in scene.summary
    assert (reviewed.fails, reviewed.uncommented) == (False, False)


def test_a_token_without_the_right_fails_and_names_it(scene, job):
    reviewed = scene.review(Programs(), job(READER))
    assert "::error title=reconcile::No comment:" in scene.log
    assert "`permissions: pull-requests: write`" in scene.log
    assert (reviewed.fails, reviewed.uncommented) == (False, True)


def test_a_comment_that_fails_otherwise_is_an_error(scene, job):
    reviewed = scene.review(Programs(), job("wrong"))
    assert "401 Bad credentials" in scene.log
    assert reviewed.uncommented


def test_without_a_token_there_is_a_notice(scene, job, github):
    assert not scene.review(Programs(), job("")).uncommented
    assert "No comment: there is no token in $RECONCILE_TOKEN." in scene.log
    assert github.requests == []


def test_no_comment_is_written_where_none_is_wanted(scene, job, github):
    scene.review(Programs(), job(), comment=False)
    assert github.requests == []
    assert "comment" not in scene.outputs


def test_nothing_that_reads_the_change_gets_the_token(scene, job):
    scene.environ["GITHUB_TOKEN"] = "another"
    programs = Programs()
    scene.review(programs, job())
    assert len(programs.calls) == 2
    for command, environ, _ in programs.calls:
        assert WRITER not in " ".join(command)
        assert WRITER not in environ.values()
        assert "another" not in environ.values()


def test_a_folder_of_the_checkout_is_not_taken_for_the_program(scene, job):
    trap = scene.folder / "reconcile"
    trap.mkdir()
    (trap / "__main__.py").write_text("raise SystemExit(99)")
    (trap / "__init__.py").write_text("")
    assert scene.review(run_process, job(), against=None).code != 99


def test_the_diff_is_offline_and_within_the_comments_room(scene, job):
    programs = Programs()
    scene.review(programs, job(), limit=SMALLEST, templates="more")
    against, form, limit, *rest = programs.asked("diff")
    room = SMALLEST - len(marker_of("desired", live=False)) - 1
    assert [against, form, limit] == [f"--against={BASE}", "--output=markdown", f"--limit={room}"]
    assert rest == ["--templates=more", "--", "desired"]


def test_a_live_diff_has_a_comment_of_its_own(scene, job, github):
    programs = Programs()
    scene.review(programs, job())
    scene.review(programs, job(), against=Live("/secrets/config"))
    assert len(github.bodies()) == 2
    assert "--kubeconfig=/secrets/config" in programs.calls[-1][0]


def test_a_fork_is_never_compared_with_the_cluster(scene, job):
    programs = Programs()
    forked = job(READER, head_repo=2)
    from_base = Job("github", Exactly(BASE), forked.comments, "", forked=True)
    scene.review(programs, from_base, against=Live("/secrets/config"))
    assert programs.asked("diff")[0] == f"--against={BASE}"
    assert "gets no credentials of the cluster" in scene.log


def test_paths_are_named_from_the_top_of_the_repository(scene, job, github):
    (scene.folder / ".git").mkdir()
    top, scene.folder = scene.folder, scene.folder / "inner"
    scene.folder.mkdir()
    programs = Programs()
    scene.review(programs, job(), templates="../shared")
    assert programs.asked("validate") == [
        "--output=github",
        "--templates=shared",
        "--",
        "inner/desired",
    ]
    assert {folder for _, _, folder in programs.calls} == {top}
    assert github.bodies()[0].startswith(marker_of("inner/desired", live=False))


def test_what_is_only_shown_is_no_command_to_the_runner(scene, job):
    scene.review(Programs(diffed=Ended(3, "### x", "::set-output name=x::y")), job())
    said = next(text for text in scene.said if "set-output" in text)
    first, shown, last = said.splitlines()
    assert shown == "::set-output name=x::y"
    assert first == f"::stop-commands::{last.strip(':')}"
    assert len(last) > 16


def test_a_comment_that_would_be_too_long_after_all_is_replaced(scene, job, github):
    scene.review(Programs(diffed=Ended(1, "x" * LIMIT, "")), job())
    assert "longer than a comment may be" in github.bodies()[0]


def test_a_report_that_cannot_be_written_is_told(scene, job):
    with pytest.raises(SourceError, match="report /nowhere/x cannot be written: No such file"):
        scene.review(Programs(), job(), report="/nowhere/x")


def test_outside_of_a_forge_the_log_has_everything(scene):
    reviewed = scene.review(Programs(), job_of({}))
    assert CHANGES.out.strip() in scene.log
    assert "::" not in scene.log
    assert "this is neither a GitHub nor a GitLab job" in scene.log
    assert not reviewed.fails


@pytest.mark.parametrize("folder", ["a-->b", "a\nb", "x" * 999, "ünï"])
def test_no_name_of_a_folder_breaks_the_marker(folder):
    marker = marker_of(folder, live=False)
    assert marker.count("-->") == 1
    assert marker.isascii()
    assert len(marker.splitlines()) == 1
    assert len(marker) < 300
