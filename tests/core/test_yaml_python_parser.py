"""YAML 1.2 that the C parser refuses or misreads is read as the specification says.

Most texts are forms of the public YAML test suite (github.com/yaml/yaml-test-suite).
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core import yaml_loader
from reconcile.core.errors import SpecError
from reconcile.core.yaml_loader import load_documents


def values(text):
    return [document.value for document in load_documents(text, "a.yaml")]


def problems(text):
    with pytest.raises(SpecError) as caught:
        load_documents(text, "a.yaml")
    return [str(problem) for problem in caught.value.problems]


READ = [
    # A question mark in a plain scalar, at its begin, in it and at its end.
    ("{key: what?}", {"key": "what?"}),
    ("[a?b, what?]", ["a?b", "what?"]),
    ("{ ?foo: bar, bar: 42 }", {"?foo": "bar", "bar": 42}),
    ("[?x]", ["?x"]),
    ("[a,?b]", ["a", "?b"]),
    ('{"a":?b}', {"a": "?b"}),
    # A colon in a plain scalar of a flow collection.
    ("{x: :x}", {"x": ":x"}),
    ("{a: b:c?, :d: e}", {"a": "b:c?", ":d": "e"}),
    ("[::a, b?]", ["::a", "b?"]),
    # A colon at the end of a key, before an indicator.
    ("{a:}", {"a": None}),
    ("[a:]", [{"a": None}]),
    ("{a:, b: c}", {"a": None, "b": "c"}),
    # A value without a space after a quoted key or a collection.
    ("{\"a\":b, 'c':d}", {"a": "b", "c": "d"}),
    ('["a":b]', [{"a": "b"}]),
    ('{"a":"b","c":["d"],"e":{"f":1}}', {"a": "b", "c": ["d"], "e": {"f": 1}}),
    # A key of a flow mapping on several lines, and its colon on the next.
    ('{"a"\n: b}', {"a": "b"}),
    ("{a\n: b}", {"a": "b"}),
    ("{a # why\n: b}", {"a": "b"}),
    ('{ "a"\n  :b }', {"a": "b"}),
    ("- { multi\n  line: value}", [{"multi line": "value"}]),
    ('- { "multi\n  line": value}', [{"multi line": "value"}]),
    # Names of anchors.
    ("k: &an:chor v", {"k": "v"}),
    ("k: &a? v\nl: *a?", {"k": "v", "l": "v"}),
    ("&a: key: &a value\nfoo:\n  *a:", {"key": "value", "foo": "key"}),
    ('a: &:@*!$"<b>: c\nd: *:@*!$"<b>:', {"a": "c", "d": "c"}),
    ("- &😁 a\n- *😁", ["a", "a"]),
    # What surrounds these forms: comments, block scalars, tabs that indent nothing.
    ("a: [b?] \t# c\nd: |\n \n   e\n  \n", {"a": ["b?"], "d": "\ne\n"}),
    ("a: >\n   b\n   c\nd: [e?,\tf]", {"a": "b c\n", "d": ["e?", "f"]}),
]


@pytest.mark.parametrize(("text", "expected"), READ)
def test_forms_of_yaml_1_2_are_read(text, expected):
    assert values(text) == [expected]


def test_a_url_and_an_image_may_stand_in_a_flow_mapping():
    text = "{url: http://example.com:80/a?b=c, image: a/b:1}"
    assert values(text) == [{"url": "http://example.com:80/a?b=c", "image": "a/b:1"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("...\n", []),
        ("# comment\n...\n", []),
        ("...\na: b?\n", [{"a": "b?"}]),
        ("a: 1\n...\n", [{"a": 1}]),
        ("a: [b?]\n...\n# c\n...\n", [{"a": ["b?"]}]),
        ("a\n...\n# no other\n...\nkey: v", ["a", {"key": "v"}]),
        ("--- [a?]\n---\nb\nc\n...", [["a?"], "b c"]),
    ],
)
def test_documents_may_end_with_three_dots(text, expected):
    assert values(text) == expected


def test_the_last_line_of_a_block_scalar_may_have_only_spaces():
    assert values("a: |\n  b\n   ") == [{"a": "b\n \n"}]
    assert values("a: b ") == [{"a": "b"}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: b?, c: !x d}", "1:12: c: has a YAML tag (`!`): remove it, or quote the text"),
        ("{a: b?, a: c}", "1:9: a: key `a` occurs twice"),
        ("{a: b?, <<: c}", "1:9: [<<]: merge keys (`<<`) are not supported: write the fields out"),
        ("a: [b?]\nc:\n\t- d", "3:1: is not valid YAML: a tab cannot indent: use spaces"),
        ("%YAML 1.2\n---\n{a: b?}", "1:1: directives (`%`) are not supported: remove the line"),
        ("{a: b?, [c]: d}", "1:9: a key must be text: quote it"),
        ("{: b?}", "1:3: a key must be text: quote it"),
        ("[" * 40 + "a?", f"1:33: {'[0]' * 32}: is nested deeper than 32 levels"),
    ],
)
def test_what_we_refuse_is_refused_there_too(text, expected):
    assert problems(text) == [f"a.yaml:{expected}"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!str b", "a program may obey a tag"),
        ("%TAG ! x:\n--- a", "a directive changes the meaning of what follows"),
        ("a:\n \tb: c", "a tab that may indent"),
        ("-\t- a", "a tab that may indent"),
        ("\t{}", "a tab that may indent"),
        ("? - a\n: b", "JSON has no such key"),
        ("[: a]", "JSON has no such key"),
        ("1: b", "JSON has no such key"),
        ("{a: 1, a: 2}", "parsers disagree which value wins"),
        ("<<: {a: b}", "parsers disagree whether this merges"),
        ("a: 010", "parsers disagree whether this is octal"),
        ("a: .inf", "JSON has no such number"),
    ],
)
def test_valid_yaml_is_refused_for_one_of_these_reasons_only(text, reason):
    assert problems(text), reason


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: {b: c?", "1:9"),
        ("a: [b\n: c?]", "2:1"),
        ("k: {\nk\n:\nv\n}", "3:1"),
        ('a: [?x]\nb: "\\U00110000"', "2:7"),
        ("{" + "a" * 1030 + "\n: b}", "2:1"),
        ("a: ?b c\n- d", "2:1"),
        ("a: b: ?c", "1:5"),
        ("[?x, {]", "1:7"),
    ],
)
def test_what_no_parser_takes_is_refused_at_its_place(text, place):
    (problem,) = problems(text)
    assert problem.startswith(f"a.yaml:{place}: is not valid YAML: "), problem


def test_values_have_places():
    (document,) = load_documents("spec:\n  a: {b: c?, 'd':e}\n")
    assert document.positions.value(("spec", "a", "b")) == (2, 10)
    assert document.positions.key(("spec", "a", "d")) == (2, 14)


def test_the_parser_in_python_is_not_asked_without_need(monkeypatch):
    monkeypatch.setattr(yaml_loader, "_build_slowly", None)
    text = "a: {b: 'c', d: 'https://e/f'}\ng: |\n  Why? A & B, x?y&z. *Note:* no\nh: &i j\nk: *i\n"
    assert values(text)[0]["h"] == "j"


# --- both parsers read the same

_PARTS = ["a", "b?", "c:d", '"e"', "'f'", "?", ":", ",", " ", "{", "}", "[", "]", "\n  ", "#", "-"]


@given(st.lists(st.sampled_from([*_PARTS, ": ", "? ", "{a: ", '{"a":', "[a, "]), max_size=12))
def test_what_both_parsers_take_they_read_alike(parts):
    text = f"- {''.join(parts)}\n"
    try:
        fast = values(text)
    except SpecError:
        return
    slow = yaml_loader._build_slowly("a.yaml", text)
    if not slow.problems:
        assert [document.value for document in slow.documents] == fast


# --- JSON escapes


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_json_is_read_as_it_was_written(text):
    assert values(json.dumps({"k": text, "l": 1})) == [{"k": text, "l": 1}]


def test_half_a_surrogate_pair_is_refused_at_its_place():
    assert problems('a: 1\nb: "x \\ud83d"') == [
        "a.yaml:2:9: is not valid YAML: write the character itself in place of this escape"
    ]


def test_only_quoted_text_has_escapes():
    assert values('a: |-\n  \\ud83d\\ude00\nb: "\\ud83d\\ude00"') == [
        {"a": "\\ud83d\\ude00", "b": "\U0001f600"}
    ]


# --- generated forms have the value from which they were generated

_WORDS = st.text("ab?:&*!-#.", min_size=1, max_size=6).filter(
    lambda text: text[0] in "ab" and text[-1] != ":" and "..." not in text
)
_BEGINS = st.builds("{}{}".format, st.sampled_from(["?", ":", "-", "::", "?-", ""]), _WORDS)
_GAPS = st.sampled_from(["", " ", "\n ", " # x\n ", "\n\n  "])


@st.composite
def _flow_forms(draw, depth=2):
    """A text in flow style, and its value."""
    kind = draw(st.sampled_from(["plain", "quoted", "list", "mapping"])) if depth else "plain"
    if kind in ("plain", "quoted"):
        word = draw(_BEGINS)
        return (word, word) if kind == "plain" else (f'"{word}"', word)
    gaps = draw(st.lists(_GAPS, min_size=2, max_size=2))
    if kind == "list":
        items = draw(st.lists(_flow_forms(depth - 1), max_size=3))
        text = f",{gaps[1]}".join(item for item, _ in items)
        return f"[{gaps[0]}{text}{gaps[1]}]", [item for _, item in items]
    names = draw(st.lists(_BEGINS, max_size=3, unique=True))
    entries = [(name, *draw(_flow_forms(depth - 1))) for name in names]
    text = f" ,{gaps[0]}".join(draw(_entries(name, item)) for name, item, _ in entries)
    return f"{{{gaps[1]}{text}{gaps[0]}}}", {name: item for name, _, item in entries}


@st.composite
def _entries(draw, name, item):
    if draw(st.booleans()):
        colon = draw(st.sampled_from([":", ": ", " :", "\n :", " # x\n :", ":\n "]))
        return f'"{name}"{colon}{item}'
    colon = draw(st.sampled_from([": ", "\n : ", ":\n  ", " # x\n : "]))
    return f"{name}{colon}{item}"


@given(_flow_forms())
def test_flow_forms_have_the_value_that_was_written(form):
    text, expected = form
    assert values(f"k: {text}\n") == [{"k": expected}]
