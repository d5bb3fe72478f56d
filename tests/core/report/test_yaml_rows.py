"""Values as lines of YAML: they are loaded as the same value, without control characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.report.escape import escape_controls
from reconcile.core.report.yaml_diff import (
    EMPTY_PARENT,
    CommentedValue,
    dump_mapping,
    dump_object,
    dump_scalar,
)
from reconcile.core.yaml_loader import load_documents

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn"]))
LINES = st.lists(TEXTS, max_size=4).map("\n".join)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), LINES.filter(escape_controls)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def text_of(listed):
    return "".join(f"{row.text}\n" for row in listed)


def lines(value):
    return [row.text for row in dump_mapping(value)]


@settings(deadline=None)
@given(st.dictionaries(TEXTS.filter(lambda text: text != "<<"), VALUES, min_size=1, max_size=4))
def test_a_dumped_value_is_loaded_as_the_same_value(value):
    listed = dump_mapping(value)
    assert load_documents(text_of(listed))[0].value == value
    assert all(escape_controls(row.text) == row.text for row in listed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("opus", "opus"),
        ("quay.io/team/runner:1.2", "quay.io/team/runner:1.2"),
        ("r:", '"r:"'),
        ("two words", '"two words"'),
        ("true", '"true"'),
        ("null", '"null"'),
        ("Yes", '"Yes"'),
        ("1e3", '"1e3"'),
        ("", '""'),
        ("- a", '"- a"'),
        ("\u202e", '"\\u202e"'),
        (True, "true"),
        (None, "null"),
        (0.7, "0.7"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_text_is_unquoted_only_if_every_parser_reads_it_as_text(value, shown):
    assert dump_scalar(value) == shown


def test_a_mapping_in_a_list_begins_after_the_dash():
    value = {"env": [{"name": "A", "value": "x\ny"}, [1, [2]], "z", {}]}
    assert lines(value) == [
        "env:",
        "  - name: A",
        "    value: |-",
        "      x",
        "      y",
        "  - - 1",
        "    - - 2",
        "  - z",
        "  - {}",
    ]


@pytest.mark.parametrize(
    ("text", "head"),
    [("a\nb", "|-"), ("a\nb\n", "|"), ("a\n\n", "|+"), ("\n", "|2+"), (" a\nb", "|2-")],
)
def test_a_text_of_many_lines_says_how_it_begins_and_ends(text, head):
    assert lines({"t": text})[0] == f"t: {head}"
    assert load_documents(text_of(dump_mapping({"t": text})))[0].value == {"t": text}


def test_control_characters_in_a_long_text_are_escaped_with_a_note():
    assert lines({"t": "a\tb\n\x1b[2Jc"}) == [
        "t: |-  # control characters are escaped",
        "  a\tb",
        "  \\x1b[2Jc",
    ]


def test_a_comment_follows_its_line():
    assert lines({"a": CommentedValue({"b": 1}, "stays"), "c": CommentedValue(1, "stays")}) == [
        "a:  # stays",
        "  b: 1",
        "c: 1  # stays",
    ]


def test_an_empty_parent_has_no_value():
    assert lines({"a": EMPTY_PARENT, "b": [EMPTY_PARENT]}) == ["a:", "b:", "  -"]


def test_an_object_begins_with_its_kind_and_metadata():
    body = {"data": {"a": "1"}, "kind": "ConfigMap", "apiVersion": "v1"}
    assert [row.text for row in dump_object(body)][:2] == ["apiVersion: v1", "kind: ConfigMap"]


def test_only_lines_of_a_long_text_are_prose():
    assert [row.is_text for row in dump_mapping({"a": 1, "t": "x\ny"})] == [
        False,
        False,
        True,
        True,
    ]
