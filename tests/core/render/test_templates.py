"""Compiling template files: problems are found before any session is rendered."""

import pytest

from reconcile.core.model import Kind
from reconcile.core.render.render import RenderFailure
from reconcile.core.render.templates import MAX_CHARACTERS, compile_templates
from tests.core.render.sessions import config, rendered, session


def wrong(text, name="a.yaml.j2", **others):
    files = {name: text, **{f"_{other}.j2": part for other, part in others.items()}}
    return [str(problem) for problem in compile_templates(files).problems]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{% if %}", "2:1: Expected an expression, got 'end of statement block'"),
        ("\n\n{{ x", "3:1: unexpected end of template, expected 'end of print statement'."),
        ("{% for x in y %}", "1:1: Unexpected end of template."),
        ("{% endif %}", "1:1: Encountered unknown tag 'endif'."),
        ("{% do x %}", "1:1: Encountered unknown tag 'do'."),
        ("\n{{ x | tojsn }}", "2:1: no filter `tojsn`; did you mean `tojson`?"),
        ("{{ x | attr('y') }}", "1:1: no filter `attr`"),
        ("{{ x | format(1) }}", "1:1: no filter `format`"),
        ("{% if x %}{{ x | center(9) }}{% endif %}", "1:1: no filter `center`"),
        ("{{ x is strin }}", "1:1: no test `strin`; did you mean `string`?"),
        ("{% include '_gon.j2' %}", "1:1: no template `_gon.j2`; did you mean `_gone.j2`?"),
        ("{% import '_x' as x %}", "1:1: no template `_x`"),
        ("{% from '_x' import x %}", "1:1: no template `_x`"),
        ("{% extends '_x' %}", "1:1: no template `_x`"),
        ("\n{% autoescape true %}{% endautoescape %}", "2:1: `autoescape` is for HTML: remove it"),
    ],
)
def test_problems_are_reported_with_their_line(text, message):
    (problem,) = wrong(text, gone="")
    assert problem.startswith(f"a.yaml.j2:{message}")


def test_all_unknown_names_of_a_file_are_reported_at_once():
    assert len(wrong("{{ x | a }}{{ x | b }}{{ x is c }}{% include 'd' %}")) == 4


def test_every_broken_file_is_named():
    assert len(wrong("{% if %}", other="{% for %}")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
        "{% for x in y %}" * 30 + "{% endfor %}" * 30,
        "{{ " + "9" * 5000 + " }}",
    ],
)
def test_a_template_that_cannot_be_compiled_is_a_problem(text):
    (problem,) = wrong(text)
    assert problem.startswith("a.yaml.j2: cannot be compiled: ")


def test_a_template_file_has_a_limit():
    (problem,) = wrong("x" * (MAX_CHARACTERS + 1))
    assert problem.startswith(f"a.yaml.j2: is too large: {MAX_CHARACTERS + 1} characters, but ")


def test_a_broken_file_leaves_no_session_usable():
    result = rendered({"a.yaml.j2": config(), "_b.j2": "{% if %}"})
    assert isinstance(result, RenderFailure)
    assert [problem.path for problem in result.problems] == ["_b.j2"]
    assert result.session == session()


def test_only_yaml_templates_are_rendered_and_partials_are_not():
    names = ["b.yml.j2", "a.yaml.j2", "c.JSON.j2", "_c.yaml.j2", "_d.j2", "e.j2"]
    assert compile_templates(dict.fromkeys(names, "")).names == (
        "a.yaml.j2",
        "b.yml.j2",
        "c.JSON.j2",
    )


@pytest.mark.parametrize(
    ("text", "is_used"),
    [("", False), ("{% include 'pvc.j2' %}", True), ("{% set x = 'pvc.j2' %}", True)],
)
def test_a_template_that_is_neither_rendered_nor_used_is_a_problem(text, is_used):
    """It may have rendered objects under another name, which would now be deleted."""
    found = compile_templates({"a.yaml.j2": f"{text}a: 1", "pvc.j2": ""}).problems
    assert [problem.path for problem in found] == ([] if is_used else ["pvc.j2"])


@pytest.mark.parametrize("include", ["", "{% include '_pvc.yaml.j2' %}"])
@pytest.mark.parametrize("partial", ["a: 1\n", "apiVersion: v1\nkind: Pod\n"])
def test_a_partial_with_an_object_that_no_template_uses_is_a_problem(include, partial):
    """It may have been a template that was renamed."""
    found = compile_templates({"a.yaml.j2": f"{include}a: 1", "_pvc.yaml.j2": partial}).problems
    is_lost = "kind" in partial and not include
    assert [problem.path for problem in found] == (["_pvc.yaml.j2"] if is_lost else [])


@pytest.mark.parametrize(
    ("text", "is_blank"),
    [
        ("", True),
        (" \n\t\n", True),
        ("# nothing\n", False),
        ("{# nothing #}", False),
        ("{% if false %}a: 1{% endif %}", False),
        ("{# x #}a: 1", False),
    ],
)
def test_a_template_with_nothing_in_it_is_a_problem(text, is_blank):
    found = compile_templates({"a.yaml.j2": text, "_empty.j2": ""}).problems
    assert [problem.path for problem in found] == (["a.yaml.j2"] if is_blank else [])


def test_literal_kinds_are_known():
    texts = [
        "apiVersion: v1\nkind: Pod\n",
        '{# a #}\napiVersion: "apps/v1"\nkind: "Deployment"  \nspec:\n  kind: x\n',
        "apiVersion: v1\nkind: {{ session.name }}\n",
        "{% if session.name %}\nkind: A\n{% else %}\nkind: B\n{% endif %}\napiVersion: v1\n",
        "",
    ]
    files = {f"{number}.yaml.j2": text for number, text in enumerate(texts)}
    assert compile_templates(files).kinds == {Kind("v1", "Pod"), Kind("apps/v1", "Deployment")}


def test_the_digest_is_that_of_all_files():
    one = compile_templates({"a": "1", "b": "2"}).digest
    assert one == compile_templates({"b": "2", "a": "1"}).digest
    assert one != compile_templates({"a": "1", "b": "3"}).digest
