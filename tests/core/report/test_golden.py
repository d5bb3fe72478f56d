"""Every kind of plan in every format, compared with reviewed files."""

import jsonschema
import pytest

from reconcile.core.changes import Outcome, Status
from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionState
from reconcile.core.report.escape import TextOptions
from reconcile.core.report.github import format_github
from reconcile.core.report.json_output import (
    outcomes_json,
    plan_json,
    problems_json,
    status_json,
    to_json,
)
from reconcile.core.report.json_schema import build_report_schema
from reconcile.core.report.markdown import format_markdown
from reconcile.core.report.problems import Findings, format_problems
from reconcile.core.report.results import format_finished_outcomes, format_outcome_totals
from reconcile.core.report.status import NextStep, StatusRow, format_status
from reconcile.core.report.text import format_names, format_plan_text
from reconcile.core.report.unified import format_unified
from reconcile.core.report.view import LiveCluster, OtherRevision
from tests.core.report import sample_plans
from tests.core.report.golden_files import assert_golden

VALIDATOR = jsonschema.Draft202012Validator(build_report_schema())

CHANGES = sample_plans.MIXED.changes
OUTCOMES = (
    Outcome(CHANGES[0], Status.UNCHANGED),
    Outcome(CHANGES[1], Status.CONFIGURED),
    Outcome(CHANGES[2], Status.SKIPPED, "an object before it failed"),
    Outcome(CHANGES[3], Status.FAILED, 'Pod is invalid: env: Invalid value: "hunter22-new"\nx'),
    Outcome(CHANGES[4], Status.DELETED),
    Outcome(CHANGES[7], Status.CREATED),
    Outcome(CHANGES[8], Status.REPLACED),
    Outcome(CHANGES[9], Status.HELD, "the restart budget is exceeded"),
)

FLUSH = (
    '{"outcome":"partial","generation":17,"partial":true,"missingFiles":3,"missingBytes":4096,'
    '"overLimitEntries":0,"seconds":24.1,"reason":"the time was over"}\n'
)
ROWS = (
    StatusRow(
        sample_plans.FIX_LOGIN,
        SessionState.RUNNING,
        Phase.RUNNING,
        remarks=(
            Remark("sidecar sync was restarted 3 times; before, it ended with exit code 8", FLUSH),
        ),
        restarts=3,
        age=7260,
        record_age=1e6,
        revision="0123456789abcdef",
    ),
    StatusRow(
        sample_plans.OLD,
        SessionState.STOPPED,
        Phase.FAILED,
        "OOMKilled",
        (Remark("container runner ended with exit code 137 (SIGKILL)", "token=hunter22\nend\n"),),
        NextStep.START_AGAIN,
        age=90,
        record_age=3600,
        held=("Delete Pod team-a/old-runner: DELETE_BUDGET",),
        digest="cafe",
        unflushed="a pod ended unflushed at 2024-05-01T10:00:00Z: token=hunter22\x1b[2J",
    ),
    StatusRow(
        sample_plans.NIGHTLY,
        SessionState.RUNNING,
        Phase.PENDING,
        "Unschedulable",
        (Remark("", "0/3 nodes are available: 3 Insufficient cpu."), Remark("")),
    ),
)


def report_of(name):
    findings = sample_plans.FINDINGS if name == "errors" else Findings()
    against = OtherRevision("HEAD~1", "f" * 40) if name == "deletes" else LiveCluster()
    return sample_plans.report(sample_plans.PLANS[name], findings, against)


@pytest.mark.parametrize("name", sample_plans.PLANS)
def test_a_plan_reads_as_in_its_golden_text(name):
    text = format_plan_text(report_of(name), Masker())
    assert_golden(f"{name}.txt", text + format_problems(report_of(name).findings, Masker()))


@pytest.mark.parametrize("name", sample_plans.PLANS)
def test_a_plan_is_the_golden_document_and_keeps_to_the_schema(name):
    document = plan_json(report_of(name), Masker())
    VALIDATOR.validate(document)
    assert_golden(f"{name}.json", to_json(document))


@pytest.mark.parametrize("name", sample_plans.PLANS)
def test_a_plan_is_the_golden_comment(name):
    assert_golden(f"{name}.md", format_markdown(report_of(name), Masker()))


@pytest.mark.parametrize("name", ["mixed", "holds", "prompts", "errors", "nothing"])
def test_a_plan_is_the_golden_unified_diff(name):
    assert_golden(f"{name}.diff", format_unified(report_of(name), Masker()))


@pytest.mark.parametrize("name", ["mixed", "errors", "nothing"])
def test_a_plan_is_the_golden_list_of_names(name):
    assert_golden(f"{name}.names", format_names(report_of(name), Masker()))


@pytest.mark.parametrize("name", ["mixed", "prompts", "errors", "nothing"])
def test_a_plan_is_the_golden_list_of_workflow_commands(name):
    assert_golden(f"{name}.github", format_github(report_of(name), Masker()))


@pytest.mark.parametrize("name", ["mixed", "nothing"])
def test_colour_and_verbose_read_as_in_their_golden_text(name):
    options = TextOptions(colour=True, verbose=True)
    assert_golden(
        f"{name}-colour.txt",
        format_plan_text(sample_plans.report(sample_plans.PLANS[name]), Masker(), options),
    )


def test_outcomes_read_as_in_their_golden_files():
    document = outcomes_json(sample_plans.MIXED, OUTCOMES, Findings(), Masker())
    VALIDATOR.validate(document)
    lines = format_finished_outcomes(OUTCOMES, Masker())
    assert_golden("outcomes.txt", lines + format_outcome_totals(OUTCOMES))
    assert_golden("outcomes.json", to_json(document))


def test_status_reads_as_in_its_golden_files():
    document = status_json("default", ROWS, Findings(), Masker())
    VALIDATOR.validate(document)
    wide = format_status(ROWS, Masker(), TextOptions(verbose=True))
    assert_golden("status.txt", format_status(ROWS, Masker()) + "\n" + wide)
    assert_golden("status.json", to_json(document))


def test_problems_read_as_in_their_golden_files():
    document = problems_json(sample_plans.FINDINGS, Masker())
    VALIDATOR.validate(document)
    coloured = format_problems(sample_plans.FINDINGS, Masker(), TextOptions(colour=True))
    assert_golden("problems.txt", format_problems(sample_plans.FINDINGS, Masker()) + coloured)
    assert_golden("problems.json", to_json(document))


def test_the_schema_is_a_schema_and_refuses_what_it_does_not_know():
    jsonschema.Draft202012Validator.check_schema(build_report_schema())
    document = plan_json(sample_plans.report(sample_plans.MIXED), Masker())
    assert not VALIDATOR.is_valid({**document, "surprise": 1})
    assert not VALIDATOR.is_valid({**document, "kind": "Poem"})
