"""Unified diffs that other tools can apply, for any two texts."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.report.yaml_diff import (
    YamlLine,
    diff_lines,
    format_hunks,
    mark_added,
    omit_unchanged_text,
)

FEW = st.lists(st.sampled_from(["a", "b", "c", "", "-d", "+e", "@@ -1 +1 @@"]), max_size=60)


def rows(lines, *, prose=False):
    return tuple(YamlLine(line, prose) for line in lines)


def carried_out(before, hunks):
    """Apply hunks as `patch` does."""
    result, at = [], 0
    for line in hunks:
        if line.startswith("@@ "):
            start, count = map(int, line.split(" ")[1][1:].split(","))
            to = start - 1 if count else start
            result += before[at:to]
            at = to
        elif line[0] == "+":
            result.append(line[1:])
        else:
            assert before[at] == line[1:]
            result += [before[at]] if line[0] == " " else []
            at += 1
    return result + before[at:]


@settings(deadline=None)
@given(FEW, FEW)
def test_a_diff_converts_one_text_into_the_other(before, after):
    assert carried_out(before, list(format_hunks(diff_lines(rows(before), rows(after))))) == after


@settings(deadline=None)
@given(FEW, FEW)
def test_unchanged_lines_with_removed_or_added_ones_are_the_two_texts(before, after):
    listed = diff_lines(rows(before), rows(after))
    assert [e.line.text for e in listed if e.sign != "+"] == before
    assert [e.line.text for e in listed if e.sign != "-"] == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["x"], ["y"]),
        ([str(n) for n in range(60)], ["new", *map(str, range(59))]),
        ([str(n) for n in range(60)], [*map(str, range(20)), "x", *map(str, range(30, 60)), "y"]),
    ],
)
def test_git_applies_the_hunks(before, after, tmp_path):
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    (tmp_path / "f").write_text("".join(f"{line}\n" for line in before))
    hunks = list(format_hunks(diff_lines(rows(before), rows(after))))
    patch = "\n".join(["# a comment", "--- a/f", "+++ b/f", *hunks, "# another one", ""])
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch.encode(), check=True)
    assert (tmp_path / "f").read_text().splitlines() == after


def test_equal_texts_have_no_hunks():
    assert list(format_hunks(diff_lines(rows("abc"), rows("abc")))) == []


def test_a_new_text_is_added_as_a_whole():
    assert list(format_hunks(mark_added(rows("ab")))) == ["@@ -0,0 +1,2 @@", "+a", "+b"]


def test_changes_far_apart_are_hunks_of_their_own():
    before = [str(n) for n in range(100)]
    after = ["x", *before[1:-1], "y"]
    hunks = [
        line
        for line in format_hunks(diff_lines(rows(before), rows(after)))
        if line.startswith("@@")
    ]
    assert hunks == ["@@ -1,11 +1,11 @@", "@@ -90,11 +90,11 @@"]


def test_texts_too_long_to_be_compared_are_replaced_as_a_whole():
    before, after = ([f"{side}{n}" for n in range(1_001)] for side in "ab")
    listed = diff_lines(rows(["same", *before]), rows(["same", *after]))
    assert [edit.sign for edit in listed] == [" ", *["-"] * 1_001, *["+"] * 1_001]


def test_unchanged_lines_of_a_long_text_are_omitted():
    text = [str(n) for n in range(20)]
    changed = [*text[:10], "x", *text[11:]]
    before = (*rows(["spec:"]), *rows(text, prose=True), *rows(["tail: 1"]))
    after = (*rows(["spec:"]), *rows(changed, prose=True), *rows(["tail: 1"]))
    assert list(omit_unchanged_text(diff_lines(before, after))) == [
        *(" spec:", " …", " 8", " 9", "-10", "+x", " 11", " 12", " …", " tail: 1")
    ]
