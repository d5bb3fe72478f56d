"""YAML texts become plain values with places, or every reason why not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core import yaml_loader
from reconcile.core.errors import Problem, SpecError
from reconcile.core.source_location import format_document_path, printable_excerpt
from reconcile.core.yaml_loader import decode_utf8, load_documents


def value(text):
    (document,) = load_documents(text, "a.yaml")
    return document.value


def problems(text):
    with pytest.raises(SpecError) as caught:
        load_documents(text, "a.yaml")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("-.5e3", -500.0),
        ("1e3", 1000.0),
        ("9223372036854775807", 9223372036854775807),
        ("-9223372036854775808", -9223372036854775808),
        ("2024-01-31", "2024-01-31"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("500m", "500m"),
        ("0400a", "0400a"),
        ("-", "-"),
        ("Nope", "Nope"),
        ("n" * 50, "n" * 50),
        ("'0400'", "0400"),
        ('"true"', "true"),
        ("|\n  a\n  b", "a\nb"),
        ("[1, {b: c}]", [1, {"b": "c"}]),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text, expected):
    if text == "-":
        text = "'-'"
    found = value(f"a: {text}")["a"]
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("scalar", "message"),
    [
        (
            "0400",
            (
                "readers disagree about numbers like this: write 256 or 0o400, "
                "or quote it if text is meant"
            ),
        ),
        (
            "-0400",
            "a number may not begin with 0: leave the zeros out, or quote it if text is meant",
        ),
        (
            "0899",
            "a number may not begin with 0: leave the zeros out, or quote it if text is meant",
        ),
        (
            "0" * 50,
            "a number may not begin with 0: leave the zeros out, or quote it if text is meant",
        ),
        ("9223372036854775808", "this number does not fit into 64 bits: quote it if text is meant"),
        ("9" * 5000, "this number does not fit into 64 bits: quote it if text is meant"),
        ("0x" + "f" * 5000, "this number does not fit into 64 bits: quote it if text is meant"),
        ("1e999", "this number is too large: quote it if text is meant"),
        ("-1e999", "this number is too large: quote it if text is meant"),
        (".inf", "infinite and undefined numbers cannot be stored: quote it if text is meant"),
        ("-.Inf", "infinite and undefined numbers cannot be stored: quote it if text is meant"),
        (".nan", "infinite and undefined numbers cannot be stored: quote it if text is meant"),
        ("!!str x", "has a YAML tag (`!`): remove it, or quote the text"),
        ("! x", "has a YAML tag (`!`): remove it, or quote the text"),
        ("!x [1]", "has a YAML tag (`!`): remove it, or quote the text"),
        ('"a\\0b"', "has a NUL character, which Kubernetes cannot store"),
        ("*b", "this alias has no anchor before it: quote text that begins with `*`"),
    ],
)
def test_an_ambiguous_scalar_is_refused_with_advice(scalar, message):
    assert problems(f"x:\n  - a: {scalar}\n") == [f"a.yaml:2:8: x[0].a: {message}"]


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("a: b: c", "1:5", "wrong indentation, or text with `: ` in it: quote it"),
        ("a: @x", "1:4", "text may not begin with this character: quote it"),
        ("a:\n\t- b", "2:1", "a tab cannot indent: use spaces"),
        ("a: 'x' y", "1:8", "wrong indentation, or text behind a closing quote"),
        ("- a\nb: 1", "2:1", "wrong indentation, or a list item without `- `"),
        ("a: [1", "2:1", "a `[` that is not closed, or a missing comma"),
        ("a: [", "2:1", "a `[` or `{` that is not closed, or a stray comma"),
        ("a: {b: 1", "2:1", "a `{` that is not closed, or a missing comma"),
        ('a: "x', "1:6", "a quote that is not closed"),
        ('"\\ud83d"', "1:4", "write the character itself in place of this escape"),
        ('"\\q"', "1:2", "write `\\\\` for a backslash, or use single quotes"),
        ("a: 1\nb\nc: 1", "3:1", "a line that is neither `key: value` nor part of a text"),
        ("[a]\nb: 2", "2:1", "`---` is missing between two documents"),
        ("a: &", "1:5", "did not find expected alphabetic or numeric character"),
        ("a: |9x", "1:6", "did not find expected comment or line break"),
    ],
)
def test_invalid_yaml_is_refused_with_a_hint(text, place, hint):
    assert problems(text) == [f"a.yaml:{place}: is not valid YAML: {hint}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%YAML 1.1\n---\na: 1", "1:1: directives (`%`) are not supported: remove the line"),
        (
            "a: '%'\n...\n%TAG ! x\n---\nb",
            "3:1: directives (`%`) are not supported: remove the line",
        ),
        ("a: 1\nb: \x07", "2:4: has a control character (U+0007): remove it"),
        ("a: \x00", "1:4: has a control character (U+0000): remove it"),
        ("a: \ud800", "1:4: has a control character (U+D800): remove it"),
        ("a: \ufffe", "1:4: has a control character (U+FFFE): remove it"),
        ("1: a", "1:1: a key must be text: quote it"),
        ("x:\n  true: a", "2:3: x: a key must be text: quote it"),
        ("[a]: b", "1:1: a key must be text: quote it"),
        ("{<<: {b: 1}}", "1:2: [<<]: merge keys (`<<`) are not supported: write the fields out"),
        (
            "&a [*a]",
            "1:5: [0]: this alias has no anchor before it: quote text that begins with `*`",
        ),
        ("a:\n- b: 1\n  b: 2", "3:3: a[0].b: key `b` occurs twice"),
    ],
)
def test_what_yaml_allows_and_we_do_not_is_refused(text, expected):
    assert problems(text) == [f"a.yaml:{expected}"]


def test_every_reason_is_given_at_once():
    assert [line.partition(": ")[0] for line in problems("a: 01\na: .nan\nb: !x y\nc: [")] == [
        "a.yaml:1:4",
        "a.yaml:2:1",
        "a.yaml:2:4",
        "a.yaml:3:4",
        "a.yaml:5:1",
    ]


def test_reasons_are_not_collected_without_end():
    assert len(problems("- 01\n" * 1000)) == yaml_loader.MAX_PROBLEMS


def test_nesting_has_a_limit():
    depth = yaml_loader.MAX_DEPTH
    assert value("[" * depth + "]" * depth)
    expected = f"a.yaml:1:{depth + 1}: {'[0]' * depth}: is nested deeper than 32 levels"
    assert problems("[" * 100_000) == [expected]
    assert problems("{a: " * 50_000)[0].endswith("is nested deeper than 32 levels")


def test_the_number_of_values_has_a_limit():
    assert problems("- a\n" * 60_000)[0].endswith(
        "has more than 50000 values, those of aliases included"
    )


def test_a_text_has_a_size_limit():
    assert problems("#" * (yaml_loader.MAX_BYTES + 1)) == [
        "a.yaml: is too large: 1048577 bytes, and 1048576 are allowed"
    ]
    with pytest.raises(SpecError, match=r"^b: is too large: 1048577 bytes, and 1048576 are allow"):
        decode_utf8(b"#" * (yaml_loader.MAX_BYTES + 1), "b")


def test_aliases_repeat_their_value():
    text = "a: &x {k: [1, z]}\nb: *x\nc: &t hi\n*t : *t\n"
    assert value(text) == {"a": {"k": [1, "z"]}, "b": {"k": [1, "z"]}, "c": "hi", "hi": "hi"}


def test_an_alias_bomb_is_refused_before_it_is_expanded():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
    assert problems(bomb)[0].endswith("has more than 50000 values, those of aliases included")


def test_aliases_may_not_repeat_a_large_text_many_times():
    bomb = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 20)}]"
    assert problems(bomb) == ["a.yaml:2:45: b[10]: aliases repeat more than 1048576 characters"]


def test_every_document_of_a_text_is_given_with_empty_ones():
    found = load_documents("a: 1\n---\n---\n- b\n")
    assert [document.value for document in found] == [{"a": 1}, None, ["b"]]
    assert load_documents("# nothing\n") == ()


def test_line_ends_of_other_systems_are_read():
    assert value("a:\r\n  é: é\r\n") == {"a": {"é": "é"}}


def test_keys_and_values_have_places():
    text = "spec:\n  repos:\n  - url: x\n    branch:  é\n  same: &s {k: 1}\n  also: *s\n"
    positions = load_documents(text)[0].positions
    assert positions.value(()) == (1, 1)
    assert positions.key(("spec",)) == (1, 1)
    assert positions.value(("spec",)) == (2, 3)
    assert positions.key(("spec", "repos", 0)) == (3, 5)
    assert positions.key(("spec", "repos", 0, "branch")) == (4, 5)
    assert positions.value(("spec", "repos", 0, "branch")) == (4, 14)
    assert positions.value(("spec", "same", "k")) == (5, 16)


def test_what_the_text_does_not_have_has_the_place_of_what_is_around_it():
    positions = load_documents("a:\n  b: &s {k: 1}\n  c: *s\n")[0].positions
    assert positions.value(("a", "c", "k")) == (3, 6)
    assert positions.key(("a", "c", "k")) == (3, 6)
    assert positions.value(("a", "missing", 3, "x")) == (2, 3)


@pytest.mark.parametrize(
    ("content", "line", "column", "byte"),
    [(b"a: 1\nb: x\xff", 2, 5, "0xff"), (b"\xc3", 1, 1, "0xc3")],
)
def test_bytes_that_are_not_utf_8_are_refused(content, line, column, byte):
    message = f"is not UTF-8: byte {byte} does not belong here"
    with pytest.raises(SpecError) as caught:
        decode_utf8(content, "b")
    assert caught.value.problems == (Problem("b", line, column, "", message),)


@pytest.mark.parametrize("content", [b"\xff\xfea\0", b"\xfe\xff\0a"])
def test_a_byte_order_mark_is_refused(content):
    with pytest.raises(SpecError) as caught:
        decode_utf8(content, "b")
    expected = "b:1:1: begins with a byte order mark of UTF-16: save it as UTF-8"
    assert str(caught.value) == expected


def test_bytes_are_read_as_utf_8():
    assert decode_utf8("é".encode()) == "é"


def test_paths_are_worded_as_people_write_them():
    assert format_document_path(("spec", "repos", 0, "url")) == "spec.repos[0].url"
    assert format_document_path(("metadata", "labels", "a.b/c")) == "metadata.labels[a.b/c]"
    assert format_document_path((1, "a")) == "[1].a"
    assert format_document_path(()) == ""


def test_foreign_text_is_shown_short_and_without_control_characters():
    assert printable_excerpt("a\x1b[31m\n\u2028b") == "a\\x1b[31m\\n\\u2028b"
    assert printable_excerpt("x" * 100) == "x" * 57 + "..."


def outcome(read):
    """The error's reasons, or a list with what was read; any other exception passes."""
    try:
        return [read()]
    except SpecError as error:
        return error.problems


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@#,? \t\n\r\0\x85\ufeff\ud800012.exo~<")))
def test_arbitrary_text_is_read_or_refused(text):
    assert outcome(lambda: load_documents(text))


@given(st.binary())
def test_arbitrary_bytes_are_read_or_refused(content):
    assert outcome(lambda: load_documents(decode_utf8(content)))


def test_no_number_is_ever_infinite():
    assert math.isfinite(value("a: 1e308")["a"])


def test_a_mark_of_utf_8_at_the_begin_is_no_text():
    assert decode_utf8(b"\xef\xbb\xbfa: 1") == "a: 1"
