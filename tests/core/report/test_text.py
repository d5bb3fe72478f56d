"""No output may control a terminal, show a secret, or hide an error."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from reconcile.core.changes import (
    Commit,
    Create,
    Hold,
    HoldReason,
    Keep,
    Outcome,
    Plan,
    SessionPlan,
    Status,
)
from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.health import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId, SessionState
from reconcile.core.report.escape import (
    TextOptions,
    escape_controls,
    escape_json_controls,
    quote_text,
)
from reconcile.core.report.json_output import plan_json, to_json
from reconcile.core.report.problems import Findings, format_problem_counts, format_problems
from reconcile.core.report.results import format_finished_outcomes, format_outcome
from reconcile.core.report.status import StatusRow, format_age, format_status
from reconcile.core.report.summary import format_summary, summarize_plan
from reconcile.core.report.text import format_plan_text
from reconcile.core.report.view import OtherRevision
from tests.core.report import sample_plans


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode ✓ 漢字", "plain ünïcode ✓ 漢字"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J\x00\x7f", "\\x9b2J\\x00\\x7f"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("ab\u202ecd\u2066\u200b\ufeff", "ab\\u202ecd\\u2066\\u200b\\ufeff"),
        ("\u2028\ud800\U000e0041", "\\u2028\\ud800\\U000e0041"),
        ("# ##[error]x", "# #\\x23[error]x"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert escape_controls(text) == shown


def test_quotes_and_backslashes_in_quotes_are_escaped():
    assert quote_text('a"\\b') == '"a\\"\\\\b"'


def test_json_text_is_equivalent_without_control_characters():
    value = {"a": "\x9b\u202e\U000e0041 ✓", "b": ["\x1b", "\n"]}
    text = escape_json_controls(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert escape_controls(text.replace("\n", "")) == text.replace("\n", "")


def test_the_remedy_of_a_hold_names_the_session():
    text = format_plan_text(sample_plans.report(sample_plans.HOLDS), Masker())
    assert "list `team-a/fix-login` under `allowRestarts`" in text
    assert "reconcile.ambient-code.io/adopt=default" in text


@pytest.mark.parametrize("reason", HoldReason)
def test_every_reason_for_a_hold_has_a_complete_message(reason):
    held = Hold(Create(sample_plans.manifest("Service", "x")), reason)
    text = format_plan_text(
        sample_plans.report(sample_plans.plan(SessionPlan(sample_plans.FIX_LOGIN, (held,)))),
        Masker(),
    )
    assert "create held, " in text
    assert "{" not in text


def test_the_bookkeeping_annotation_is_for_programs_only():
    assert "reconcile.ambient-code.io/digest" not in format_plan_text(
        sample_plans.report(sample_plans.MIXED), Masker()
    )
    document = to_json(plan_json(sample_plans.report(sample_plans.MIXED), Masker()))
    assert "reconcile.ambient-code.io/digest" in document


def test_unchanged_objects_are_counted_and_not_listed():
    text = format_plan_text(sample_plans.report(sample_plans.NOTHING), Masker())
    assert "session-fix-login" not in text
    assert "1 unchanged" in text
    assert "session-fix-login" in format_plan_text(
        sample_plans.report(sample_plans.NOTHING), Masker(), TextOptions(verbose=True)
    )


def test_errors_never_look_like_nothing_to_do():
    text = format_plan_text(
        sample_plans.report(sample_plans.EMPTY, sample_plans.FINDINGS), Masker()
    )
    assert "Nothing to do" not in text
    assert (
        "3 errors and 1 warning in 4 files. The objects that they affect are not changed." in text
    )
    assert "Nothing to do" in format_plan_text(sample_plans.report(sample_plans.EMPTY), Masker())


def test_an_object_that_drifted_is_counted_once_and_in_addition():
    summary = summarize_plan(sample_plans.DRIFT)
    assert (summary.patch, summary.drift, summary.unchanged) == (1, 1, 1)
    assert format_summary(summary).count("1 drifted") == 1


def test_a_secret_of_one_object_is_hidden_in_the_text_of_another():
    note = sample_plans.field("metadata.annotations[note]", "a", "uses hunter22-new now")
    changes = (
        Create(sample_plans.pod()),
        sample_plans.patch(sample_plans.manifest("Service", "x"), note),
    )
    later = SessionPlan(sample_plans.FIX_LOGIN, changes)
    earlier = SessionPlan(
        sample_plans.OLD, (sample_plans.patch(sample_plans.manifest("Service", "y"), note),)
    )
    assert "hunter22" not in format_plan_text(
        sample_plans.report(sample_plans.plan(earlier, later)), Masker()
    )


def test_an_error_that_quotes_a_secret_is_masked():
    failed = Outcome(Create(sample_plans.pod()), Status.FAILED, 'Invalid value: "hunter22-new"')
    assert "hunter22" not in format_finished_outcomes((failed,), Masker())


def test_a_failure_of_an_object_without_a_manifest_is_formatted_too():
    kept = Keep(sample_plans.ref("Pod", "x"), sample_plans.LIVE, "d")
    assert format_outcome(Outcome(kept, Status.FAILED, "boom"), Masker()) == (
        "Pod team-a/x failed: boom"
    )
    assert "Pod team-a/x failed" in format_finished_outcomes(
        (Outcome(kept, Status.FAILED),), Masker()
    )
    unchanged = (Outcome(kept, Status.UNCHANGED),)
    assert "Pod" not in format_finished_outcomes(unchanged, Masker())
    verbose = TextOptions(verbose=True, colour=True)
    assert "unchanged\x1b[0m" in format_finished_outcomes(unchanged, Masker(), verbose)


def test_findings_are_counted():
    assert format_problem_counts(Findings(sample_plans.FINDINGS.problems[:1])) == (
        "1 error and 0 warnings in 1 file."
    )
    assert format_problems(Findings(), Masker()) == ""


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-1, "-"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (7200, "2h"),
        (172_800, "2d"),
        (1e7, "115d"),
    ],
)
def test_an_age_is_in_its_largest_unit(seconds, age):
    assert format_age(seconds) == age


def test_an_empty_status_says_so():
    assert format_status((), Masker()) == "No sessions.\n"


def test_a_long_text_of_one_row_widens_no_other_row():
    long = "x" * 100_000
    rows = [
        StatusRow(
            SessionId("team-a", "forged"),
            SessionState.RUNNING,
            Phase.FAILED,
            long,
            (Remark(long, long),),
            digest=long,
            held=(long,) * 500,
        ),
        StatusRow(SessionId("team-b", "one"), SessionState.RUNNING, Phase.RUNNING),
    ]
    for verbose in (False, True):
        lines = format_status(rows, Masker(), TextOptions(verbose=verbose)).splitlines()
        assert max(map(len, lines)) < 1400
        assert len(lines) < 110
        assert len(lines[-1]) < 300


def test_colour_is_off_by_default():
    assert "\x1b" not in format_plan_text(sample_plans.report(sample_plans.MIXED), Masker())
    assert TextOptions(colour=True).paint("unheard-of", "x") == "x"


def test_untrusted_names_are_escaped():
    name = SessionId("team\x1b", "x\u202e")
    kept = Create(sample_plans.manifest("Pod\x1b", "y\x07", name))
    text = format_plan_text(
        sample_plans.report(Plan("i", "r", (SessionPlan(name, (kept,)),))), Masker()
    )
    assert "team\\x1b/x\\u202e" in text
    assert "Pod\\x1b y\\x07" in text


def test_the_slow_library_is_loaded_only_for_nested_values():
    program = (
        "import sys; import reconcile.core.report.json_output, reconcile.core.report.text;"
        "sys.exit('deepdiff' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_causes_other_than_drift_are_not_marked():
    plan = sample_plans.plan(
        SessionPlan(
            sample_plans.FIX_LOGIN,
            (
                sample_plans.patch(
                    sample_plans.pod(), sample_plans.field("spec.x", 1, 2, cause=Commit())
                ),
            ),
        )
    )
    assert "Drift:" not in format_plan_text(sample_plans.report(plan), Masker())


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("0123456789abcdef", "Tree: commit 0123456789ab\n"),
        (
            "0123456789abcdef-dirty",
            "Tree: work tree with uncommitted changes, on commit 0123456789ab\n",
        ),
        ("", "Tree: a folder outside git\n"),
    ],
)
def test_the_tree_that_a_plan_was_made_of_is_named(revision, said):
    plan = replace(sample_plans.NOTHING, revision=revision)
    assert said in format_plan_text(sample_plans.report(plan), Masker())


def test_what_a_plan_was_compared_with_is_named_without_a_secret():
    against = OtherRevision("https://me:hunter22-url@git.example.com/\x1b", "f" * 40)
    text = format_plan_text(sample_plans.report(sample_plans.NOTHING, against=against), Masker())
    assert "hunter22" not in text
    assert "\\x1b (ffffffffffff)\n" in text
