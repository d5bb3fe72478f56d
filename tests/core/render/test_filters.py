"""The filters of templates."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconcile.core.render.filters import (
    b64encode,
    compact,
    dns_label,
    env_literal,
    indent,
    merge_mappings,
    quote,
    sha256,
    tojson,
    toyaml,
    truncate_name,
)
from reconcile.core.render.metering import RenderError
from reconcile.core.yaml_loader import load_documents

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


def loaded(text):
    (document,) = load_documents(text)
    return document.value


@settings(deadline=None)
@given(VALUES)
def test_json_of_any_value_is_yaml(value):
    text = tojson(value)
    assert loaded(f"a: {text}\nb: 1\n") == {"a": value, "b": 1}
    assert json.loads(text) == value


@settings(deadline=None)
@given(VALUES, st.integers(0, 20))
def test_a_yaml_block_says_the_same_at_any_indentation(value, width):
    before = "".join(f"{' ' * depth}k:\n" for depth in range(width))
    found = loaded(f"{before}{' ' * width}{toyaml(value, width)}\n")
    for _ in range(width):
        found = found["k"]
    assert found == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            {"key": [1, {"x": "y", "list": []}], "a": {}},
            '"a": {}\nkey:\n  - 1\n  - list: []\n    "x": "y"',
        ),
        ([[1, 2], []], "- - 1\n  - 2\n- []"),
        ({"true": 1, "null": 2, "name": None}, 'name: null\n"null": 2\n"true": 1'),
        ("a\nb", '"a\\nb"'),
    ],
)
def test_a_yaml_block_is_easy_to_read(value, text):
    assert toyaml(value) == text


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff"])
def test_characters_that_yaml_reads_as_breaks_are_escaped(character):
    assert tojson(character) == f'"\\u{ord(character):04x}"'


def test_quote_converts_anything_that_can_be_printed_to_text():
    assert [quote(value) for value in (8080, True, 'a"b', 0.5)] == [
        '"8080"',
        '"true"',
        '"a\\"b"',
        '"0.5"',
    ]
    with pytest.raises(RenderError, match="prints null"):
        quote(None)


def test_a_variables_value_is_not_expanded():
    assert env_literal("$(HOME) $$") == '"$$(HOME) $$$$"'


def test_base64_is_that_of_utf_8():
    assert b64encode("é") == "w6k="


def test_hashes_are_over_text_or_over_canonical_json():
    assert sha256("a") != sha256(["a"])
    assert sha256({"a": 1, "b": 2}) == sha256({"b": 2, "a": 1})


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["abc", "x-y", "a.b", "0"]), min_size=1, max_size=40).map("".join),
    st.integers(20, 63),
)
@example("x" * 64, 63)
@example("x" * 53 + "-" + "y" * 20, 63)
def test_a_truncated_name_is_distinct(name, limit):
    cut = truncate_name(name, limit)
    assert len(cut) <= limit
    assert cut[-1].isalnum()
    assert (cut == name) == (len(name) <= limit)
    assert cut == name or cut != truncate_name(name + "x", limit)


@settings(deadline=None)
@given(TEXT)
def test_any_text_makes_a_dns_label(text):
    label = dns_label(text)
    assert len(label) <= 63
    assert label == "" or (label[0].isalnum() and label[-1].isalnum())
    assert set(label) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert dns_label(label) == label


def test_texts_that_look_alike_make_different_labels():
    assert dns_label("a.b").startswith("a-b-")
    assert len({dns_label("a.b"), dns_label("a_b"), dns_label("a-b"), dns_label("A-b")}) == 4


def test_later_mappings_take_precedence():
    assert merge_mappings({"a": 1, "b": 1}, {"b": 2}, {"c": 3}) == {"a": 1, "b": 2, "c": 3}


def test_nulls_are_left_out_of_mappings_only():
    assert compact({"a": None, "b": [None, {"c": None, "d": 0}]}) == {"b": [None, {"d": 0}]}


def test_every_line_but_the_first_is_indented():
    assert indent("a\nb\nc", 2) == "a\n  b\n  c"
