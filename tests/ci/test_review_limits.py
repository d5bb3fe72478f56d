"""What a review does without permissions, and with untrusted input."""

import pytest

from reconcile.ci.commands import ClusterComparison, run_process
from reconcile.ci.environment import BaseCommit, CiJob, detect_job
from reconcile.ci.forge import ProcessResult
from reconcile.ci.output import COMMENT_LIMIT, MIN_COMMENT_LIMIT, build_marker
from reconcile.core.errors import SourceError
from tests.ci.forges import READER, WRITER
from tests.ci.jobs import BASE, CHANGES, Programs
from tests.ci.repositories import git


def test_a_fork_gets_a_notice_and_the_summary(scene, job, github):
    reviewed = scene.review(Programs(), job(READER, head_repo=2))
    assert github.comments == {}
    assert "::notice title=reconcile::No comment: the change comes from a fork" in scene.log
    assert CHANGES.out.strip() in scene.summary
    assert (reviewed.is_failure, reviewed.comment_failed) == (False, False)


def test_a_token_without_the_right_fails_and_names_it(scene, job):
    reviewed = scene.review(Programs(), job(READER))
    assert "::error title=reconcile::No comment:" in scene.log
    assert "`permissions: pull-requests: write`" in scene.log
    assert (reviewed.is_failure, reviewed.comment_failed) == (False, True)


def test_a_comment_that_fails_otherwise_is_an_error(scene, job):
    reviewed = scene.review(Programs(), job("wrong"))
    assert "401 Bad credentials" in scene.log
    assert reviewed.comment_failed


def test_without_a_token_there_is_a_notice(scene, job, github):
    assert not scene.review(Programs(), job("")).comment_failed
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


def test_the_diff_is_offline_and_within_the_limit_of_the_comment(scene, job):
    programs = Programs()
    scene.review(programs, job(), limit=MIN_COMMENT_LIMIT, templates="more")
    against, form, limit, *rest = programs.asked("diff")
    space = MIN_COMMENT_LIMIT - len(build_marker("desired", live=False)) - 1
    assert [against, form, limit] == [f"--against={BASE}", "--output=markdown", f"--limit={space}"]
    assert rest == ["--templates=more", "--", "desired"]


def test_a_live_diff_has_a_comment_of_its_own(scene, job, github):
    programs = Programs()
    scene.review(programs, job())
    scene.review(programs, job(), against=ClusterComparison("/secrets/config"))
    assert len(github.bodies()) == 2
    assert "--kubeconfig=/secrets/config" in programs.calls[-1][0]


@pytest.mark.parametrize(
    ("kubeconfig", "environ"),
    [
        ("kubeconfig", {}),
        ("../job/kubeconfig", {}),
        ("link/kubeconfig", {}),
        ("{top}/deep/er/kubeconfig", {}),
        ("{outside}/link", {}),
        ("", {"KUBECONFIG": "/nonexistent:kubeconfig"}),
        ("", {"KUBECONFIG": "{top}/kubeconfig"}),
        ("", {"KUBECONFIG": "", "HOME": "{top}"}),
    ],
)
def test_a_kubeconfig_in_the_checkout_is_not_used(scene, job, kubeconfig, environ, github):
    """The author of the change could name a program, a file or a server in it."""
    outside, top = scene.folder / "outside", scene.folder / "job"
    outside.mkdir()
    top.mkdir()
    git(top, "init", "-q")
    (top / "kubeconfig").touch()
    (top / "link").symlink_to(outside)
    (outside / "link").symlink_to(top / "kubeconfig")
    places = {"top": top, "outside": outside}
    scene.folder = top
    scene.environ.update({name: value.format(**places) for name, value in environ.items()})
    programs = Programs()
    where = ClusterComparison(kubeconfig.format(**places))
    reviewed = scene.review(programs, job(), against=where)
    assert (reviewed.code, reviewed.is_failure) == (4, True)
    assert [command[4] for command, _, _ in programs.calls] == ["validate"]
    assert "is in the checkout, where the author of the change can write it" in github.bodies()[0]


def test_a_kubeconfig_of_the_home_folder_is_used(scene, job):
    programs = Programs()
    scene.environ.update({"KUBECONFIG": "", "HOME": "/home/ann"})
    assert scene.review(programs, job(), against=ClusterComparison("")).code == 1
    scene.environ.update({"HOME": ""})
    assert scene.review(programs, job(), against=ClusterComparison("")).code == 1


def test_a_fork_is_never_compared_with_the_cluster(scene, job):
    git(scene.folder, "init", "-q")
    git(scene.folder, "commit", "-q", "--allow-empty", "-m", "base")
    base = git(scene.folder, "rev-parse", "HEAD")
    programs = Programs()
    forked = job(READER, head_repo=2)
    from_base = CiJob("github", BaseCommit(base), forked.comments, "", is_fork=True)
    scene.review(programs, from_base, against=ClusterComparison("/secrets/config"))
    assert programs.asked("diff")[0] == f"--against={base}"
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
    assert github.bodies()[0].startswith(build_marker("inner/desired", live=False))


def test_what_is_only_shown_is_no_command_to_the_runner(scene, job):
    scene.review(Programs(diffed=ProcessResult(3, "### x", "::set-output name=x::y")), job())
    said = next(text for text in scene.said if "set-output" in text)
    first, shown, last = said.splitlines()
    assert shown == "::set-output name=x::y"
    assert first == f"::stop-commands::{last.strip(':')}"
    assert len(last) > 16


def test_a_comment_that_would_be_too_long_after_all_is_replaced(scene, job, github):
    scene.review(Programs(diffed=ProcessResult(1, "x" * COMMENT_LIMIT, "")), job())
    assert "longer than a comment may be" in github.bodies()[0]


def test_a_report_that_cannot_be_written_is_an_error(scene, job):
    with pytest.raises(SourceError, match="report /nowhere/x cannot be written: No such file"):
        scene.review(Programs(), job(), report="/nowhere/x")


@pytest.mark.parametrize("report", ["link", "folder/report.md"])
def test_no_output_is_written_through_a_link_of_the_checkout(scene, job, report):
    outside = scene.folder / "outside"
    outside.mkdir()
    (outside / "report.md").write_text("old")
    top = scene.folder / "job"
    top.mkdir()
    git(top, "init", "-q")
    (top / "link").symlink_to(outside / "report.md")
    (top / "folder").symlink_to(outside)
    git(top, "add", ".")
    with pytest.raises(SourceError, match="is a link in the checkout"):
        scene.review(Programs(), job(), report=str(top / report))
    for variable in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"):
        scene.environ = {**scene.environ, variable: str(top / report)}
        with pytest.raises(SourceError, match="is a link in the checkout"):
            scene.review(Programs(), job())
    assert (outside / "report.md").read_text() == "old"


def test_outside_of_a_forge_the_log_has_everything(scene):
    reviewed = scene.review(Programs(), detect_job({}))
    assert CHANGES.out.strip() in scene.log
    assert "::" not in scene.log
    assert "this is neither a GitHub nor a GitLab job" in scene.log
    assert not reviewed.is_failure


@pytest.mark.parametrize("folder", ["a-->b", "a\nb", "x" * 999, "ünï"])
def test_no_name_of_a_folder_breaks_the_marker(folder):
    marker = build_marker(folder, live=False)
    assert marker.count("-->") == 1
    assert marker.isascii()
    assert len(marker.splitlines()) == 1
    assert len(marker) < 300
