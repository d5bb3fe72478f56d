"""The text of the comment, with and without a diff."""

import re

from hypothesis import given
from hypothesis import strategies as st

from reconcile.ci.forge import ProcessResult
from reconcile.ci.output import (
    COMMENT_LIMIT,
    MIN_COMMENT_LIMIT,
    build_comment_body,
    build_marker,
    find_plan_digest,
    limit_without_marker,
)
from reconcile.core.report import markdown

MARKER = build_marker("desired", live=False)
HOSTILE = st.lists(
    st.one_of(st.text(), st.sampled_from(["```", "`````", "~~~", "</details>", "<!--", "-->"])),
    max_size=200,
).map("\n".join)


@given(err=HOSTILE, limit=st.integers(MIN_COMMENT_LIMIT, COMMENT_LIMIT))
def test_what_was_said_stays_in_one_fence_and_within_the_limit(err, limit):
    body = build_comment_body(MARKER, ProcessResult(70, "", err), limit)
    assert body.startswith(f"{MARKER}\n### reconcile: no diff\n")
    assert len(body.encode()) <= limit
    fences = [line for line in body.split("\n") if re.match(r" {0,3}(`{3,})", line)]
    if "longer than a comment" in body:
        assert not fences
    else:
        opening = fences[0].removesuffix("text")
        assert body.endswith(f"\n{opening}")
        longer = [line for line in fences[1:-1] if line.strip().startswith(opening)]
        assert not longer


@given(out=st.text(min_size=1).filter(str.strip))
def test_what_the_diff_printed_is_shown_as_it_is(out):
    assert (
        build_comment_body(MARKER, ProcessResult(1, out, ""), COMMENT_LIMIT)
        == f"{MARKER}\n{out.strip()}"
    )


def test_the_limits_fit_those_of_the_diff():
    assert COMMENT_LIMIT == markdown.MAX_COMMENT_BYTES
    longest = build_marker("x" * 999, live=True)
    assert limit_without_marker(MIN_COMMENT_LIMIT, longest) >= markdown.MIN_COMMENT_BYTES


def test_marker_and_diff_fit_together():
    out = "x" * limit_without_marker(COMMENT_LIMIT, MARKER)
    assert (
        len(build_comment_body(MARKER, ProcessResult(1, out, ""), COMMENT_LIMIT)) == COMMENT_LIMIT
    )


def test_the_digest_is_the_one_at_the_end_and_no_images():
    image, digest = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
    out = f"+image: app@{image}\n Plan digest: `{image}`\nPlan digest: `{digest}`\n\nCompared: x\n"
    assert find_plan_digest(ProcessResult(1, out, "")) == digest
    assert find_plan_digest(ProcessResult(3, out, "")) == ""
    assert find_plan_digest(ProcessResult(0, "nothing", "")) == ""
