"""Fragments of changed fields: common parents are shared, and no field is lost."""

from reconcile.core.changes import ABSENT, Commit, FieldChange, InPlace
from reconcile.core.fields.field_path import ListItem, SetMember, format_path
from reconcile.core.report.yaml_diff import build_fragment

RUNNER = ListItem((("name", "runner"),))
HTTP = ListItem((("port", 80), ("protocol", "TCP")))


def change(at, before, after):
    return FieldChange(format_path(at), before, after, InPlace(), Commit(), at)


def sides(*changes):
    found = build_fragment(changes)
    return [row.text for row in found.before], [row.text for row in found.after]


def test_items_of_a_list_show_their_keys_and_share_their_parents():
    env = ("spec", "containers", RUNNER, "env")
    before, after = sides(
        change((*env, ListItem((("name", "MODEL"),)), "value"), "sonnet", "opus"),
        change((*env, ListItem((("name", "DEBUG"),))), ABSENT, {"name": "DEBUG", "value": "1"}),
        change(("spec", "containers", RUNNER, "image"), "r:1", "r:2"),
    )
    assert before == [
        "spec:",
        "  containers:",
        "    - name: runner",
        "      env:",
        "        - name: MODEL",
        "          value: sonnet",
        "      image: r:1",
    ]
    assert after[-4:] == [
        "          value: opus",
        "        - name: DEBUG",
        '          value: "1"',
        "      image: r:2",
    ]


def test_an_item_with_several_keys_shows_all_of_them():
    before, _ = sides(change(("spec", "ports", HTTP, "targetPort"), 1, 2))
    assert before[2:] == ["    - port: 80", "      protocol: TCP", "      targetPort: 1"]


def test_an_empty_parent_is_kept_for_its_position():
    before, after = sides(
        change(("metadata", "finalizers", SetMember("a")), ABSENT, "a"),
        change(("spec", "containers", RUNNER, "args"), ABSENT, ["-v"]),
    )
    assert before == [
        "metadata:",
        "  finalizers:",
        "spec:",
        "  containers:",
        "    - name: runner",
    ]
    assert after[2] == "    - a"


def test_a_released_field_is_the_same_on_both_sides_with_a_comment():
    before, after = sides(change(("metadata", "labels", "x"), "1", "1"))
    assert before == after
    assert before[-1] == '    x: "1"  # is kept, but no longer declared here'


def test_a_change_of_type_alone_is_a_change():
    before, after = sides(change(("spec", "x"), 0, 0.0))
    assert (before[-1], after[-1]) == ("  x: 0", "  x: 0.0")


def test_a_field_without_a_structured_path_has_its_own_entry():
    words = FieldChange("spec.containers[runner].image", "a", "b", InPlace(), Commit())
    before, after = sides(words, words)
    assert before == [
        '"spec.containers[runner].image": a',
        '"spec.containers[runner].image again": a',
    ]
    assert after[0].endswith(": b")


def test_fields_that_contradict_each_other_are_all_shown():
    whole = change(("spec", "a"), 1, 2)
    for other in (
        change(("spec", "a"), 3, 4),
        change(("spec", "a", "b"), 3, 4),
        change(("spec", RUNNER, "b"), 3, 4),
        change((RUNNER,), 3, 4),
        change(("spec", "x", RUNNER, HTTP), 3, 4),
    ):
        before, after = sides(whole, other)
        assert any(line.endswith(": 3") for line in before)
        assert any(line.endswith(": 4") for line in after)
        assert "  a: 1" in before


def test_an_otherwise_empty_item_keeps_its_keys():
    before, _ = sides(
        change(("spec", "containers", RUNNER, "resources", "limits", "cpu"), ABSENT, 1)
    )
    assert before == [
        "spec:",
        "  containers:",
        "    - name: runner",
        "      resources:",
        "        limits:",
    ]
