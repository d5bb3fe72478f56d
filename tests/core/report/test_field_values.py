"""The format of one changed field: inline if it is short, a small diff if it is long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.report.field_values import (
    FormattedChange,
    NestedDifference,
    ValueLine,
    find_nested_differences,
    format_field_change,
)


def worded(before, after) -> FormattedChange:
    return format_field_change(FieldChange("spec.x", before, after, InPlace(), Commit()))


@pytest.mark.parametrize(
    ("before", "after", "wording"),
    [
        (1, 2, FormattedChange("~", "1 → 2")),
        (None, False, FormattedChange("~", "null → false")),
        (True, 1, FormattedChange("~", "true → 1")),
        ("a", 1, FormattedChange("~", '"a" → 1')),
        (ABSENT, "a", FormattedChange("+", '"a"')),
        ({"a": 1}, ABSENT, FormattedChange("-", '{"a": 1}')),
        ([1], {"a": 1}, FormattedChange("~", '[1] → {"a": 1}')),
        ("x", "x", FormattedChange(" ", '"x" is kept, but no longer declared here')),
        (
            'a"\\\n',
            "a\t",
            FormattedChange(
                "~", "", (ValueLine("-", 'a"\\'), ValueLine("-", ""), ValueLine("+", "a\\t"))
            ),
        ),
    ],
)
def test_a_short_value_is_inline(before, after, wording):
    assert worded(before, after) == wording


def test_a_value_that_could_end_its_quotes_early_is_escaped():
    assert worded(ABSENT, 'a" → "b\\').head == '"a\\" → \\"b\\\\"'


def test_long_texts_are_shown_where_they_begin_to_differ():
    before, after = "x" * 200 + "old" + "y" * 200, "x" * 200 + "new"
    front = "…" + "x" * 12
    assert worded(before, after).head == f'"{front}old{"y" * 57}…" → "{front}new"'
    assert worded("a" * 100, "b").head == f'"{"a" * 72}…" → "b"'


def test_a_long_text_that_goes_on_shows_that_it_does():
    assert worded("x" * 100, "x" * 100 + "y").head == (f'"…{"x" * 12}" → "…{"x" * 12}y"')


def test_lines_that_are_added_or_removed_are_listed_and_cut():
    text = "\n".join(f"line {n}" for n in range(20))
    added = worded(ABSENT, text)
    assert added.lines[0] == ValueLine("+", "line 0")
    assert added.lines[-1] == ValueLine(" ", "… 8 more lines")
    assert worded(text, ABSENT).lines[11] == ValueLine("-", "line 11")


def test_a_line_that_is_too_wide_is_cut():
    assert worded(ABSENT, "a\n" + "b" * 500).lines[1] == ValueLine("+", "b" * 160 + "…")


def test_a_large_structure_that_is_added_or_removed_is_listed_by_lines():
    value = {"name": "a", "list": ["x" * 40, "y" * 40]}
    assert worded(ABSENT, value).lines[:2] == (
        ValueLine("+", "{"),
        ValueLine("+", '  "name": "a",'),
    )


def test_only_the_differences_of_a_structure_are_shown():
    before = {"a": {"b": 1, "c": [1, 2]}, "same": "x" * 100, "t": "1\n2"}
    after = {"a": {"b": 2, "c": [1, 2, 3]}, "same": "x" * 100, "t": "1\n3"}
    assert worded(before, after).lines == (
        ValueLine("~", "a.b: 1 → 2"),
        ValueLine("+", "a.c[2]: 3"),
        ValueLine("~", 't: "1\\n2" → "1\\n3"'),
    )


def test_a_huge_structure_is_compared_by_lines():
    before = {f"key{n}": "x" * 20 for n in range(1000)}
    lines = worded(before, before | {"key500": "y"}).lines
    assert ValueLine("-", f' "key500": "{"x" * 20}",') in lines
    assert ValueLine("+", ' "key500": "y",') in lines


def test_a_long_scalar_is_cut():
    assert worded(1, 10**100).head == "1 → 1" + "0" * 71 + "…"


def test_of_a_huge_text_only_the_lines_at_the_change_are_compared():
    lines = [str(n) for n in range(5000)]
    changed = [*lines[:1000], "here", *lines[1001:]]
    shown = worded("\n".join(lines), "\n".join(changed)).lines
    assert shown[:4] == (
        ValueLine(" ", "…"),
        ValueLine(" ", "999"),
        ValueLine("-", "1000"),
        ValueLine("+", "here"),
    )
    assert shown[-1] == ValueLine(" ", "… and further lines")


def test_two_changes_far_apart_are_divided():
    before = "\n".join(map(str, range(20)))
    after = before.replace("3\n", "x\n", 1).replace("\n17", "\ny", 1)
    assert ValueLine(" ", "…") in worded(before, after).lines


def test_a_text_that_only_grew_shows_what_was_added():
    assert worded("a", "a\nb").lines == (ValueLine(" ", "a"), ValueLine("+", "b"))


def test_entries_with_names_are_compared_by_name_and_not_by_position():
    before = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    after = [{"name": "B", "value": "3"}, {"name": "C", "list": [{"name": "D"}]}]
    assert find_nested_differences(before, after) == (
        NestedDifference("[A]", {"name": "A", "value": "1"}, ABSENT),
        NestedDifference("[B].value", "2", "3"),
        NestedDifference("[C]", ABSENT, {"name": "C", "list": [{"name": "D"}]}),
    )


def test_a_list_without_unique_names_is_compared_by_position():
    before, after = [{"name": "A", "v": 1}, {"name": "A"}], [{"name": "A", "v": 2}, {"name": "A"}]
    assert find_nested_differences(before, after) == (NestedDifference("[0].v", 1, 2),)
    assert find_nested_differences({"x.y": [[], 1]}, {"x.y": [[2], 1]}) == (
        NestedDifference("[x.y][0][0]", ABSENT, 2),
    )


@pytest.mark.parametrize("wrap", [lambda side: side, lambda side: {"a": side}, lambda side: [side]])
def test_a_list_that_gets_its_first_named_entry_shows_that_entry(wrap):
    formatted = worded(wrap([]), wrap([{"name": "evil"}]))
    (line,) = formatted.lines
    assert line.sign in "+~"
    assert "evil" in line.text
    (line,) = worded(wrap([{"name": "evil"}]), wrap([])).lines
    assert line.sign in "-~"


def test_entries_that_lose_their_names_are_compared_by_position():
    assert find_nested_differences([{"name": "A"}], [{"name": "A"}, 1]) == (
        NestedDifference("[1]", ABSENT, 1),
    )
    assert find_nested_differences({"a": [{"name": "A"}]}, {"a": {"b": 1}}) == (
        NestedDifference("a", [{"name": "A"}], {"b": 1}),
    )


ENTRIES = st.recursive(
    st.integers(0, 1) | st.sampled_from("ab") | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "v"]), inner, max_size=2)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("AB"), "v": inner}), max_size=2)
    ),
    max_leaves=8,
)


@given(ENTRIES, ENTRIES)
def test_any_two_values_can_be_compared(before, after):
    assert worded(before, after).sign in "+-~ "
    if before != after:
        assert find_nested_differences(before, after)
