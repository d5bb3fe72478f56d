"""No text that is printed as a line controls a terminal or a CI system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import escape_line
from reconcile.core.report.problems import Findings, format_problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::error::x", r"  \x3a:error::x"),
        ("a ##[error]x", r"a #\x23[error]x"),
        ("a\n::error::x", r"a\n::error::x"),
        ("a::b # [c]", "a::b # [c]"),
    ],
)
def test_a_line_holds_no_workflow_command(text, expected):
    assert escape_line(text) == expected


@given(st.text(alphabet=":#[] ae\n\r\t\x1b\u202e\x9b"), st.text(alphabet=":#[] ae\n\x1b\u202e"))
def test_no_line_of_problems_is_a_command(path, message):
    text = format_problems(Findings((Problem(path, 1, 1, "", message),)), Masker())
    assert text.count("\n") == 1
    assert not text.lstrip().startswith("::")
    assert "##[" not in text
    assert not {"\x1b", "\r", "\u202e", "\x9b"} & set(text)
