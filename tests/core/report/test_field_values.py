"""How one changed field is worded: in line where it is short, as a small diff where it is long."""

import pytest

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.report.field_values import Difference, Line, Wording, differences, word


def worded(before, after) -> Wording:
    return word(FieldChange("spec.x", before, after, InPlace(), Commit()))


@pytest.mark.parametrize(
    ("before", "after", "wording"),
    [
        (1, 2, Wording("~", "1 → 2")),
        (None, False, Wording("~", "null → false")),
        (True, 1, Wording("~", "true → 1")),
        ("a", 1, Wording("~", '"a" → 1')),
        (ABSENT, "a", Wording("+", '"a"')),
        ({"a": 1}, ABSENT, Wording("-", '{"a": 1}')),
        ([1], {"a": 1}, Wording("~", '[1] → {"a": 1}')),
        ("x", "x", Wording(" ", '"x" stays, but is no longer declared here')),
        ('a"\\\n', "a\t", Wording("~", "", (Line("-", 'a"\\'), Line("-", ""), Line("+", "a\\t")))),
    ],
)
def test_a_short_value_is_worded_in_line(before, after, wording):
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
    assert added.lines[0] == Line("+", "line 0")
    assert added.lines[-1] == Line(" ", "… 8 more lines")
    assert worded(text, ABSENT).lines[11] == Line("-", "line 11")


def test_a_line_that_is_too_wide_is_cut():
    assert worded(ABSENT, "a\n" + "b" * 500).lines[1] == Line("+", "b" * 160 + "…")


def test_a_large_structure_that_comes_or_goes_is_listed_by_lines():
    value = {"name": "a", "list": ["x" * 40, "y" * 40]}
    assert worded(ABSENT, value).lines[:2] == (Line("+", "{"), Line("+", '  "name": "a",'))


def test_of_a_structure_only_what_differs_is_shown():
    before = {"a": {"b": 1, "c": [1, 2]}, "same": "x" * 100, "t": "1\n2"}
    after = {"a": {"b": 2, "c": [1, 2, 3]}, "same": "x" * 100, "t": "1\n3"}
    assert worded(before, after).lines == (
        Line("~", "a.b: 1 → 2"),
        Line("+", "a.c[2]: 3"),
        Line("~", 't: "1\\n2" → "1\\n3"'),
    )


def test_a_huge_structure_is_compared_by_lines():
    before = {f"key{n}": "x" * 20 for n in range(1000)}
    lines = worded(before, before | {"key500": "y"}).lines
    assert Line("-", f' "key500": "{"x" * 20}",') in lines
    assert Line("+", ' "key500": "y",') in lines


def test_a_long_scalar_is_cut():
    assert worded(1, 10**100).head == "1 → 1" + "0" * 71 + "…"


def test_of_a_huge_text_only_the_lines_at_the_change_are_compared():
    lines = [str(n) for n in range(5000)]
    changed = [*lines[:1000], "here", *lines[1001:]]
    shown = worded("\n".join(lines), "\n".join(changed)).lines
    assert shown[:4] == (Line(" ", "…"), Line(" ", "999"), Line("-", "1000"), Line("+", "here"))
    assert shown[-1] == Line(" ", "… and what follows")


def test_two_changes_far_apart_are_divided():
    before = "\n".join(map(str, range(20)))
    after = before.replace("3\n", "x\n", 1).replace("\n17", "\ny", 1)
    assert Line(" ", "…") in worded(before, after).lines


def test_a_text_that_only_grew_shows_what_was_added():
    assert worded("a", "a\nb").lines == (Line(" ", "a"), Line("+", "b"))


def test_entries_with_names_are_compared_by_name_and_not_by_position():
    before = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    after = [{"name": "B", "value": "3"}, {"name": "C", "list": [{"name": "D"}]}]
    assert differences(before, after) == (
        Difference("[A]", {"name": "A", "value": "1"}, ABSENT),
        Difference("[B].value", "2", "3"),
        Difference("[C]", ABSENT, {"name": "C", "list": [{"name": "D"}]}),
    )


def test_a_list_whose_names_do_not_tell_its_entries_apart_is_compared_by_position():
    before, after = [{"name": "A", "v": 1}, {"name": "A"}], [{"name": "A", "v": 2}, {"name": "A"}]
    assert differences(before, after) == (Difference("[0].v", 1, 2),)
    assert differences({"x.y": [[], 1]}, {"x.y": [[2], 1]}) == (
        Difference("[x.y][0][0]", ABSENT, 2),
    )
