"""Rendered as GitHub does, a comment is ours alone: closed, bounded, and without a secret."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import (
    Commit,
    Create,
    Delete,
    DeleteReason,
    FieldChange,
    ForcesReplace,
    Hold,
    HoldReason,
    Replace,
    SessionPlan,
)
from reconcile.core.errors import Problem
from reconcile.core.fields.field_path import ListItem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import Kind, SessionId
from reconcile.core.report.escape import escape_controls
from reconcile.core.report.markdown import (
    MAX_COMMENT_BYTES,
    MIN_COMMENT_BYTES,
    format_failure,
    format_markdown,
)
from reconcile.core.report.problems import Findings
from reconcile.core.yaml_loader import load_documents
from tests.core.report import sample_plans
from tests.core.report.formats import every_form
from tests.properties.hostile import HOSTILE, findings, reports, texts
from tests.properties.rendered import render

MARKER = "<!-- reconcile diff: "


def size(comment):
    return len(comment.encode("utf-8", "surrogatepass"))


@HOSTILE
@given(reports, st.integers(MIN_COMMENT_BYTES, 3 * MIN_COMMENT_BYTES) | st.just(MAX_COMMENT_BYTES))
def test_whatever_a_plan_holds_its_comment_is_ours_alone_and_within_its_limit(report, limit):
    comment = format_markdown(report, Masker(), limit)
    assert comment.startswith(MARKER)
    assert size(comment) <= limit
    found = render(comment)
    changed = [s for s in report.plan.sessions if s.changes]
    shown = found.tags.count("details")
    left = [text for text in found.prose if "omitted: the comment would be too long." in text]
    assert shown == len(changed) or left[0].split(" of ")[0].strip() == str(len(changed) - shown)
    assert any(report.digest in span for span in found.spans)


@HOSTILE
@given(findings, texts, st.integers(MIN_COMMENT_BYTES, 3 * MIN_COMMENT_BYTES))
def test_a_comment_about_any_error_has_only_our_markup(found, installation, limit):
    comment = format_failure(found, installation, Masker(), limit)
    assert comment.startswith(MARKER)
    assert size(comment) <= limit
    assert "failed" in "".join(render(comment).prose)


@HOSTILE
@given(texts.filter(lambda text: not any(map(_is_beyond_yaml, text))))
def test_what_is_in_a_value_is_what_the_reader_sees_in_the_fence(text):
    data = {"INITIAL_PROMPT": text}
    change = Create(sample_plans.manifest("ConfigMap", "inputs", data=data))
    report = sample_plans.report(sample_plans.plan(SessionPlan(sample_plans.FIX_LOGIN, (change,))))
    masker = Masker()
    shown = render(format_markdown(report, masker)).fences[0]
    masked = masker.mask_object(change.manifest.body)["data"]["INITIAL_PROMPT"]
    if "\n" in masked and _is_spelt_out(masked):
        assert all(
            escape_controls(part) in shown
            for line in masked.split("\n")
            for part in line.split("\t")
        )
    else:
        text = "".join(line.removeprefix("+") for line in shown.splitlines(keepends=True))
        assert load_documents(text)[0].value["data"]["INITIAL_PROMPT"] == masked


def _is_beyond_yaml(char):
    """Whether YAML cannot spell a character out: NUL, half characters, and beyond 16 bits."""
    return escape_controls(char) != char and not 0 < ord(char) < 0xD800


def _is_spelt_out(text):
    return any(
        escape_controls(part) != part for line in text.split("\n") for part in line.split("\t")
    )


# Thousands of sessions


def many(count):
    for number in range(count):
        session = SessionId("team-a", f"s{number}")
        pod = sample_plans.pod(f"s{number}-runner", session)
        prompt = FieldChange(
            "spec.containers[runner].env[PROMPT].value",
            f"Do {number}.\n" * 40,
            f"Do {number}.\n" * 40 + "```\n</details>",
            ForcesReplace(),
            Commit(),
            (
                "spec",
                "containers",
                ListItem((("name", "runner"),)),
                "env",
                ListItem((("name", "PROMPT"),)),
                "value",
            ),
        )
        gone = Delete(
            sample_plans.ref("Service", f"s{number}"),
            Kind("v1", "Service"),
            sample_plans.LIVE,
            DeleteReason.NOT_RENDERED,
        )
        held = Hold(
            Create(sample_plans.manifest("ConfigMap", f"c{number}", session)), HoldReason.TAKEN
        )
        yield SessionPlan(session, (gone, Replace(pod, sample_plans.LIVE, (prompt,)), held))


THOUSANDS = sample_plans.report(
    sample_plans.plan(*many(5_000)),
    Findings(tuple(Problem(f"team-a/{n}.yaml", 1, 1, "spec", "is wrong") for n in range(5_000))),
)


def test_five_thousand_changed_sessions_keep_to_the_limit_and_all_are_counted():
    comment = format_markdown(THOUSANDS, Masker())
    assert MAX_COMMENT_BYTES - 4_000 < size(comment) <= MAX_COMMENT_BYTES
    found = render(comment)
    shown = found.tags.count("details")
    assert shown > 5
    assert f"{5_000 - shown:,} of 5,000 sessions omitted: the comment would be too long." in comment
    summary = comment.split("<details>")[0]
    for title in ("Deletes", "Restarts and replacements", "Errors", "Held"):
        listed = summary.split(f"**{title}**\n\n")[1].split("\n\n")[0].split("\n")
        assert listed[-1] == f"- and {5_000 - len(listed[:-1]):,} more"
    assert "5,000 errors, changes in 5,000 sessions" in comment


def test_the_least_limit_still_holds_the_summary():
    comment = format_markdown(THOUSANDS, Masker(), MIN_COMMENT_BYTES)
    assert size(comment) <= MIN_COMMENT_BYTES
    found = render(comment)
    assert found.tags.count("table") == 1
    for title in ("Deletes", "Restarts and replacements", "Errors", "Held"):
        assert f"**{title}**" in comment
    assert sample_plans.DIGEST in comment


# Secrets


def with_secret(secret, other):
    """A plan with one secret in many places, and another secret next to it."""
    report = sample_plans.report(
        sample_plans.plan(
            SessionPlan(
                sample_plans.FIX_LOGIN,
                (
                    Create(sample_plans.pod("new", token=secret)),
                    Create(
                        sample_plans.manifest("ConfigMap", "note", data={"note": f"use {secret}!"})
                    ),
                    sample_plans.patch(
                        sample_plans.pod(token=secret),
                        sample_plans.field(f"{sample_plans.ENV}[API_TOKEN].value", other, secret),
                    ),
                ),
            )
        )
    )
    quoted = Problem("team-a/x.yaml", 1, 1, "spec", f"API_TOKEN={secret} is refused")
    return replace(report, findings=Findings((quoted,)))


secrets = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJK23456789", min_size=12, max_size=60)


@HOSTILE
@given(secrets, secrets, secrets, secrets)
def test_no_form_shows_a_secret_or_how_long_it_is(first, second, other_first, other_second):
    one = ("c4nary" + first, "c4nary-0" + second)
    two = ("c4nary" + other_first, "c4nary-0" + other_second)
    shown = [list(every_form(with_secret(*pair), Masker())) for pair in (one, two)]
    assert shown[0] == shown[1]
    assert not any("c4nary" in text for text in shown[0])


def test_equal_secrets_get_equal_marks_and_a_change_shows():
    comment = format_markdown(with_secret("c4nary-one-secret", "c4nary-another"), Masker())
    fences = render(comment).fences
    created, noted, patched = fences
    mark = next(line for line in created.splitlines() if "\u2039masked" in line).split('"')[1]
    assert mark in noted
    assert f'+          value: "{mark}"' in patched
    assert '-          value: "\u2039masked #' in patched
    assert f'-          value: "{mark}"' not in patched
