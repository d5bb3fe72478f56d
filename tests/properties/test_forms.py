"""Whatever a plan holds, no line of any form is anything but what that form is made of."""

import re
import subprocess

from hypothesis import given

from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import TextOptions, escape_controls
from reconcile.core.report.text import format_names, format_plan_text
from reconcile.core.report.unified import format_unified
from tests.core.report import sample_plans
from tests.properties.hostile import HOSTILE, reports

HUNK = re.compile(r"@@ -\d+,(\d+) \+\d+,(\d+) @@")


def lines_of(text):
    """Take a text apart at the line breaks that are ours; nothing in a line steers a terminal."""
    *lines, end = text.split("\n")
    assert end == ""
    assert all(
        escape_controls(line.replace("\t", " ")) == line.replace("\t", " ") for line in lines
    )
    return lines


@HOSTILE
@given(reports)
def test_a_unified_diff_has_the_lines_that_its_hunks_announce_and_comments(report):
    lines = iter(lines_of(format_unified(report, Masker())))
    for line in lines:
        if line.startswith("--- "):
            assert next(lines).startswith("+++ b/")
        elif hunk := HUNK.fullmatch(line):
            old, new = map(int, hunk.groups())
            while old or new:
                sign = next(lines)[0]
                assert sign in "+- "
                old, new = old - (sign != "+"), new - (sign != "-")
        else:
            assert line[0] == "#"


@HOSTILE
@given(reports)
def test_names_are_one_line_each_and_begin_with_what_happens(report):
    lines = lines_of(format_names(report, Masker()))
    words = [line.split(" ")[0] for line in lines]
    errors = len(report.findings.problems)
    assert words[:errors] == ["error"] * errors
    assert len(words) == errors + len(report.plan.changes)
    assert set(words[errors:]) <= {"create", "patch", "replace", "delete", "hold"}


@HOSTILE
@given(reports)
def test_text_ends_in_what_the_plan_was_made_of(report):
    lines = lines_of(format_plan_text(report, Masker(), TextOptions(verbose=True)))
    starts = [line.split(":")[0] for line in lines[-4:]]
    assert starts == ["Plan", "Tree", "Compared with", "Plan digest"]


def test_git_reads_every_file_of_a_unified_diff_and_makes_the_new_ones(tmp_path):
    patch = format_unified(sample_plans.report(sample_plans.MIXED), Masker()).encode()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    counted = subprocess.run(
        ["git", "apply", "--numstat", "-"],
        cwd=tmp_path,
        input=patch,
        capture_output=True,
        check=True,
    )
    assert [line.split("\t")[2] for line in counted.stdout.decode().splitlines()] == [
        *["team-a/Service/fix-login.yaml"] * 3,
        "team-a/Secret/adopted.yaml",
        "team-a/Pod/fix-login-runner.yaml",
        "team-b/ConfigMap/session-nightly.yaml",
        "team-b/Pod/nightly-runner.yaml",
    ]
    new = ["git", "apply", "--include=team-b/*", "-"]
    subprocess.run(new, cwd=tmp_path, input=patch, check=True)
    made = (tmp_path / "team-b" / "Pod" / "nightly-runner.yaml").read_text()
    assert made.startswith("apiVersion: v1\nkind: Pod\n")
