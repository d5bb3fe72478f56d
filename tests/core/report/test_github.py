"""Workflow commands as the runner reads them: each line is one command for any content."""

import pytest
from hypothesis import given

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.github import format_annotations, format_github
from reconcile.core.report.problems import Findings
from tests.core.report import sample_plans
from tests.properties.hostile import HOSTILE, reports

DATA = {"%0D": "\r", "%0A": "\n"}
PROPERTY = {**DATA, "%3A": ":", "%2C": ","}


def unescaped(text, table):
    for code, char in table.items():
        text = text.replace(code, char)
    return text.replace("%25", "%")


def read(line):
    """Read a command as the runner does: up to the second `::`, properties separated by commas."""
    assert line.startswith("::")
    info, _, message = line[2:].partition("::")
    name, _, given_properties = info.partition(" ")
    pairs = (pair.partition("=") for pair in given_properties.split(",") if pair)
    properties = {key: unescaped(value, PROPERTY) for key, _, value in pairs}
    return name, properties, unescaped(message, DATA)


def annotated(*problems, folder="desired"):
    return format_annotations(Findings(problems), folder, Masker()).splitlines()


def test_a_problem_points_at_its_file_line_and_column():
    (line,) = annotated(Problem("team-a/x.yaml", 3, 7, "spec.x", "unknown field"))
    assert line == (
        "::error file=desired/team-a/x.yaml,line=3,col=7,title=reconcile::spec.x: unknown field"
    )


def test_a_problem_of_a_whole_file_has_no_line():
    (line,) = annotated(Problem("team-a/x.yml", 0, 0, "", "is too large"), folder=".")
    assert line == "::error file=team-a/x.yml,title=reconcile::is too large"


@pytest.mark.parametrize("path", ["pod.yaml.j2", "team-a"])
def test_a_path_that_is_not_a_session_file_is_in_the_message(path):
    (line,) = annotated(Problem(path, 2, 1, "", "is wrong"))
    assert line == f"::error title=reconcile::{path}: is wrong"


def test_a_problem_without_a_location_has_only_a_message():
    assert annotated(Problem("", 0, 0, "", "no cluster")) == ["::error title=reconcile::no cluster"]


@pytest.mark.parametrize("text", ["100% a,b: c", "a\r\n::error::x", "%0A::error::", "::stop::"])
def test_a_text_can_neither_end_its_command_nor_begin_another(text):
    problem = Problem(f"{text}.yaml", 1, 1, text, text)
    (line,) = annotated(problem, folder=text)
    name, properties, message = read(line)
    assert name == "error"
    assert set(properties) == {"file", "line", "col", "title"}
    assert properties["file"].endswith(f"{escape_controls(text)}.yaml")
    assert message == f"{escape_controls(text)}: {escape_controls(text)}"


@HOSTILE
@given(reports)
def test_each_line_is_one_command_for_any_plan(report):
    problems = len(report.findings.problems)
    lines = format_github(report, Masker()).split("\n")
    assert lines.pop() == ""
    names = [read(line)[0] for line in lines]
    assert names[:problems] == ["error"] * problems
    assert set(names) <= {"error", "warning", "notice"}
    for line in lines:
        assert {"title"} <= set(read(line)[1]) <= {"title", "file", "line", "col"}
        assert escape_controls(line) == line


def test_errors_are_counted_in_the_summary_as_well():
    lines = format_github(
        sample_plans.report(sample_plans.EMPTY, sample_plans.FINDINGS), Masker()
    ).splitlines()
    assert "3 errors and 1 warning" in read(lines[-1])[2]
    assert "Plan digest: sha256:" in read(lines[-1])[2]
