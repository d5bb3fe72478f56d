"""The Markdown of a comment: untrusted text is code, messages of the program are prose."""

import pytest

from reconcile.core.changes import Create, Hold, HoldReason, SessionPlan
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import (
    format_code_fence,
    format_code_span,
    format_html_code,
    format_prose,
)
from reconcile.core.report.markdown import (
    MIN_COMMENT_BYTES,
    build_comment_marker,
    format_failure,
    format_markdown,
)
from reconcile.core.report.problems import Findings
from tests.core.report import sample_plans
from tests.properties.rendered import render


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("`a`", "`` `a` ``"),
        (" a ", "`  a  `"),
        ("", "(empty)"),
        ("   ", "(empty)"),
        ("a\nb", "`a\\nb`"),
        ("x" * 300, f"`{'x' * 200}…`"),
    ],
)
def test_foreign_text_is_a_code_span_that_ends_where_it_should(text, shown):
    assert format_code_span(text) == shown


def test_in_an_html_block_foreign_text_is_escaped():
    assert format_html_code('<b a="&">') == "<code>&lt;b a=&quot;&amp;&quot;&gt;</code>"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("set `a: b` in policy.yaml, please: now", "set `a: b` in policy.yaml, please: now"),
        ("is larger than 1 MiB (or 20)", "is larger than 1 MiB (or 20)"),
        ("ask @somebody about it", "`ask @somebody about it`"),
        ("see #12", "`see #12`"),
        ("deadbeef0 or 0123456789", "`deadbeef0 or 0123456789`"),
        ("on www.evil.example", "`on www.evil.example`"),
        ("`1`2`3`", "`1`2`3`"),
        ("@1`#2`@3", "``@1`#2`@3``"),
        ("an open `tick", "an open `tick`"),
        ("a blank ` ` in ticks", "a blank   in ticks"),
        ("", ""),
    ],
)
def test_a_sentence_is_readable_and_possible_markdown_is_code(text, shown):
    assert format_prose(text) == shown


def test_a_fence_is_longer_than_any_run_of_backticks_in_it():
    lines = list(format_code_fence(["+a ```` b", "+```"], "diff"))
    assert lines == ["`````diff", "+a ```` b", "+```", "`````"]


def test_lines_above_the_limit_of_a_fence_are_cut_and_counted():
    lines = list(format_code_fence(["x" * 400, *map(str, range(200))], "diff"))
    assert lines[1] == "x" * 300 + "…"
    assert lines[-2] == " … 51 more lines"


def test_a_fence_holds_only_so_many_bytes():
    lines = list(format_code_fence(["\U0001f308" * 300] * 20, "diff"))
    assert lines[-2] == " … 14 more lines"
    assert len(lines) == 6 + 3


def test_the_marker_is_one_hidden_line_for_any_installation():
    assert build_comment_marker("default") == "<!-- reconcile diff: default -->"
    assert build_comment_marker("a --> <b>\n") == "<!-- reconcile diff: a----b- -->"
    assert build_comment_marker("") == "<!-- reconcile diff: -->"


def comment(*changes, findings=Findings()):  # noqa: B008 - a frozen value
    plan = sample_plans.plan(SessionPlan(sample_plans.FIX_LOGIN, changes))
    return format_markdown(sample_plans.report(plan, findings), Masker())


def heading(text):
    return text.splitlines()[1].removeprefix("### reconcile diff: ")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "no changes"),
        ("deletes", "changes in 1 session"),
        ("drift", "drift in 1 session"),
        ("holds", "4 changes held"),
        ("mixed", "changes in 3 sessions"),
    ],
)
def test_the_heading_says_what_kind_of_plan_it_is(name, said):
    assert heading(format_markdown(sample_plans.report(sample_plans.PLANS[name]), Masker())) == said


def test_errors_never_look_like_no_changes_and_are_shown_with_changes():
    report = sample_plans.report(sample_plans.EMPTY, sample_plans.FINDINGS)
    assert heading(format_markdown(report, Masker())) == "3 errors"
    created = Create(sample_plans.manifest("Service", "x"))
    one = Findings(sample_plans.FINDINGS.problems[:1])
    assert heading(comment(created, findings=one)) == "1 error, changes in 1 session"


def test_drift_with_a_held_change_is_still_drift():
    held = Hold(Create(sample_plans.manifest("Service", "x")), HoldReason.TAKEN)
    drifted = sample_plans.patch(sample_plans.manifest("Service", "y"), *sample_plans.DRIFTED)
    assert heading(comment(held, drifted)) == "drift in 1 session"


def test_a_patch_that_only_adopts_is_a_change_and_not_drift():
    adopted = sample_plans.patch(sample_plans.manifest("Service", "y"), adopts=True)
    shown = comment(adopted)
    assert heading(shown) == "changes in 1 session"
    assert "adopts the object: an annotation" in shown


def test_sessions_with_deletes_come_first():
    order = format_markdown(sample_plans.report(sample_plans.MIXED), Masker()).split("<details>")[
        1:
    ]
    names = [part.split("</code>")[0].rpartition(">")[2] for part in order]
    assert names == ["team-a/old", "team-a/fix-login", "team-b/nightly"]


def test_a_session_that_does_not_fit_is_omitted_as_a_whole_and_counted():
    long = {f"k{n}": "x" * 200 for n in range(100)}
    created = Create(sample_plans.manifest("ConfigMap", "x", data=long))
    plan = sample_plans.plan(
        SessionPlan(sample_plans.FIX_LOGIN, (created,)),
        SessionPlan(
            sample_plans.OLD, (Create(sample_plans.manifest("Service", "y", sample_plans.OLD)),)
        ),
    )
    shown = format_markdown(sample_plans.report(plan), Masker(), MIN_COMMENT_BYTES)
    assert "1 of 2 sessions omitted: the comment would be too long." in shown
    assert shown.count("<details>") == 1
    assert "- 1 to create: `team-a/fix-login`, `team-a/old`" in shown


def test_more_objects_than_are_named_are_counted():
    names = [f"c{n}" for n in range(9)]
    held = [
        Hold(Create(sample_plans.manifest("ConfigMap", n)), HoldReason.TERMINATING) for n in names
    ]
    assert "`ConfigMap c3` and 5 more: create held, the live object" in comment(*held)


def test_a_replaced_object_that_is_not_a_pod_is_deleted_and_created_again():
    changed = sample_plans.field("type", "a", "b", sample_plans.ForcesReplace())
    replaced = sample_plans.Replace(
        sample_plans.manifest("Secret", "x"), sample_plans.LIVE, (changed,)
    )
    assert "is deleted and created again because `type` changed" in comment(replaced)


def test_a_failure_says_that_changes_are_unknown_and_why():
    found = Findings((Problem("", 0, 0, "", "https://10.0.0.1: connection refused"),))
    shown = format_failure(found, "default", Masker())
    assert shown.splitlines()[:2] == [build_comment_marker("default"), "### reconcile diff failed"]
    assert "The changes could not be determined." in shown
    assert "- `https://10.0.0.1: connection refused`" in shown
    assert render(shown).fences == []


def test_of_many_errors_as_many_as_fit_are_listed_and_all_are_counted():
    found = Findings(tuple(Problem(f"{n}.yaml", 1, 1, "a", "is wrong") for n in range(99)))
    assert "- and 69 more" in format_failure(found, "", Masker())
    wide = Findings(tuple(Problem("p" * 199, 1, 1, "f" * 199, "@" * 400) for _ in range(99)))
    shown = format_markdown(
        sample_plans.report(sample_plans.EMPTY, wide), Masker(), MIN_COMMENT_BYTES
    )
    assert "- 99 in total" in shown
