"""What templates can compute, what they cannot access, and that their work is bounded."""

import pytest

from reconcile.core.render.metering import MAX_OUTPUT
from reconcile.core.render.render import render_template
from reconcile.core.render.templates import compile_templates

VALUES = {
    "session": {"name": "fix", "spec": {"text": "hi", "list": [1, 2], "none": None, "yes": True}},
    "names": {"pod": "fix-runner"},
    "installation": "default",
    "capabilities": {},
}
TOO_MUCH = "takes more than 250000 steps for one session"
GROWING = "{%% set ns = namespace(x='x') %%}{%% for i in range(200) %%}%s{%% endfor %%}"


def printed(text, **partials):
    files = {"a.yaml.j2": text, **{f"_{name}.j2": part for name, part in partials.items()}}
    templates = compile_templates(files)
    assert templates.problems == ()
    return render_template(templates, "a.yaml.j2", VALUES)


def said(text, **partials):
    return str(printed(text, **partials))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ session.name }}", "fix"),
        ("{{ session['name'] }}", "fix"),
        ("{{ session.spec.yes }} {{ 1.5 }} {{ 3 }}", "true 1.5 3"),
        ("{{ session.name ~ '-' ~ 1 }}", "fix-1"),
        ("{{ 1 + 2 * 3 - 4 // 2 + 7 % 4 }} {{ 2 ** 10 }} {{ 1 / 2 }} {{ -1 }}", "8 1024 0.5 -1"),
        ("{{ ([1] + [2]) | join('-') }}", "1-2"),
        ("{{ session.name.upper() }}{{ 'a b'.split() | length }}", "FIX2"),
        ("{{ session.spec.list.index(2) }}{{ (1, 2).count(2) }}", "11"),
        ("{% for k, v in session.spec.items() if v is string %}{{ k }}{% endfor %}", "text"),
        ("{% for k in {'b': 1, 'a': 2}.keys() | sort %}{{ k }}{% endfor %}", "ab"),
        (
            "{% for v in session.spec.list %}{{ loop.index }}/{{ loop.length }} {% endfor %}",
            "1/2 2/2 ",
        ),
        ("{% for i in range(3) %}{{ i }}{% else %}none{% endfor %}", "012"),
        ("{% macro m(x, y=2) %}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}{{ m(x=3) }}", "1232"),
        (
            "{% macro m() %}[{{ caller('a') }}]{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
            "[a]",
        ),
        ("{% filter upper %}abc{% endfilter %}", "ABC"),
        ("{% set x | upper %}abc{% endset %}{{ x }}", "ABC"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "2"),
        ("{% with x = 1 %}{{ x }}{% endwith %}", "1"),
        ("{{ [1, [2, 3]][1][0] }}{{ 'abcd'[1:3] }}", "2bc"),
        ("{{ dict(a=1).a }}{{ dict([('b', 2)]) | tojson }}", '1{"b":2}'),
        ("{{ [session.spec] | map(attribute='text') | join }}", "hi"),
        ("{{ ['a', 'b'] | map('upper') | join }}", "AB"),
        ("{{ [1, 2] | select('eq', 2) | first }}{{ [1, 2] | reject('in', [2]) | first }}", "21"),
        (
            "{{ 2 in [1, 2] }} {{ 'x' not in session }} {{ 1 == 1 }} {{ 1 < 2 < 3 }}",
            "true true true true",
        ),
        ("{{ nope is defined }} {{ nope | default('d') }} {{ nope is undefined }}", "false d true"),
        (
            "{% for x in [1, [2, [3]]] recursive %}{{ x if x is number else loop(x) }}{% endfor %}",
            "123",
        ),
        ("{% block b %}x{% endblock %}{{ self.b() }}", "xx"),
        ("{{ 'a' if false }}{{ 'b' if true }}", "b"),
        ("{% raw %}{{ x }}{% endraw %}", "{{ x }}"),
        ("  {% if true %}\n  a\n  {% endif %}\n", "  a\n"),
    ],
)
def test_templates_compute(text, expected):
    assert printed(text).text == expected


def test_partials_are_included_and_imported():
    text = "{% import '_m.j2' as m %}{{ m.twice('a') }}{% include '_i.j2' %}"
    partials = {"m": "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}", "i": "{{ names.pod }}"}
    assert printed(text, **partials).text == "aafix-runner"


def test_a_missing_partial_can_be_ignored():
    assert printed("a{% include '_gone.j2' ignore missing %}").text == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ sesion.name }}", "`sesion` is not defined; did you mean `session`?"),
        ("{{ session.spec.txt }}", "there is no `txt` here; did you mean `text`?"),
        ("{{ session.spec['txt'] }}", "there is no `txt` here; did you mean `text`?"),
        ("{{ session.spec.zzz }}", "there is no `zzz` here"),
        ("{{ {1: 2}.a }}", "there is no `a` here"),
        ("{{ session.name.uper }}", "a str has no `uper`; did you mean `upper`?"),
        ("{{ session.spec.list.sotr }}", "a list has no `sotr`"),
        ("{{ session.spec.list[7] }}", "list object has no element 7"),
        ("{{ nope + 1 }}", "`nope` is not defined"),
        ("{{ 1 + nope }}", "`nope` is not defined"),
        ("{{ nope ~ 'x' }}", "`nope` is not defined"),
        ("{{ nope | upper }}", "`nope` is not defined"),
        ("{{ [nope] | tojson }}", "`nope` is not defined"),
        ("{% if nope %}{% endif %}", "`nope` is not defined"),
        ("{{ nope.x.y }}", "`nope` is not defined"),
        ("{{ nope() }}", "`nope` is not defined"),
    ],
)
def test_an_undefined_name_is_reported_with_a_defined_one(text, message):
    assert said("\n" + text) == f"a.yaml.j2:2:1: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ session.spec.none }}", "prints null: leave the field out with `{% if %}`"),
        ("{{ session.spec }}", "prints a dict: use `| tojson` or `| toyaml`"),
        ("{{ session.spec.list ~ '' }}", "prints a list: use `| tojson` or `| toyaml`"),
        ("{{ [1, none] | join }}", "prints null"),
        ("{{ fail('set a port') }}", "set a port"),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{{ 'a' + 1 }}", "TypeError: "),
        ("{{ session.spec.list.index('secret') }}", "fails with ValueError"),
        ("{% include 'x' ~ 'y' %}", "no template `xy`"),
        ("{{ range | tojson }}", "a function has no JSON form"),
        ("{{ {1: 2} | tojson }}", "TypeError: Dict key must be str"),
        ("{{ ['a'] | map('nope') | list }}", "No filter named 'nope'."),
        ("{{ ['a'] | map('replace') | list }}", "TypeError: "),
        ("{{ session.name() }}", "TypeError: "),
        ("{{ (1 if false) | tojson }}", "has no value: an `if` without `else`"),
        ("{{ 'a' | indent(41) }}", "indents by 41: 0 to 40 spaces are allowed"),
    ],
)
def test_misuse_is_reported_with_its_line(text, message):
    assert said("a\n\n" + text).startswith(f"a.yaml.j2:3:1: {message}")


def test_values_do_not_show_in_messages():
    assert "secret" not in said("{{ ['x'].index('secret') }}{{ 'secret' | int('secret') }}")


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ session.__class__ }}",
        "{{ session.clear() }}",
        "{{ session.spec.list.append(3) }}",
        "{{ session.update({}) }}",
        "{{ 'a{}'.format(1) }}",
        "{{ 'a{}'['format'](1) }}",
        "{{ '{a}'.format_map({}) }}",
        "{{ 'a'.center(10 ** 9) }}",
        "{{ 'a'.encode() }}",
        "{{ 'a'.replace('a', 'b') }}",
        "{{ 3 .to_bytes(10 ** 9) }}",
        "{{ range.__globals__ }}",
        "{{ namespace.__init__ }}",
        "{{ dict.fromkeys([1]) }}",
        "{% macro m() %}{% endmacro %}{{ m.__call__ }}",
        "{% for i in [1] %}{{ loop._iterator }}{% endfor %}",
        "{% for i in [1] %}{{ loop.changed(i) }}{% endfor %}",
        "{{ self.__init__ }}",
        "{{ fail.__globals__ }}",
    ],
)
def test_names_that_are_not_listed_are_not_accessible(text):
    assert "not allowed" in said(text)


@pytest.mark.parametrize("name", ["lipsum", "cycler", "open", "__import__", "environment"])
def test_only_listed_names_are_defined(name):
    assert said("{{ " + name + " }}") == f"a.yaml.j2:1:1: `{name}` is not defined"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ 'x' * 9 }}", "`*` is for numbers only"),
        ("{{ 9 * [1] }}", "`*` is for numbers only"),
        ("{{ '%999999999d' % 1 }}", "`%` is for numbers only"),
        ("{{ 2 ** 65 }}", "an exponent beyond 64"),
        ("{{ 2 ** -65 }}", "an exponent beyond 64"),
        ("{{ 2 ** 64 }}", "a number grows beyond 64 bits"),
        (GROWING % "{% set ns.x = ns.x ~ ns.x %}", TOO_MUCH),
        (GROWING % "{% set ns.x = ns.x + ns.x %}", TOO_MUCH),
        (GROWING % "{% set ns.x = [ns.x, ns.x] %}", TOO_MUCH),
        (GROWING % "{% set ns.x = (ns.x, ns.x) %}", TOO_MUCH),
        (GROWING % "{% set ns.x = {'a': ns.x, 'b': ns.x} %}", TOO_MUCH),
        (GROWING % "{% set ns.x = dict(a=ns.x, b=ns.x) %}", TOO_MUCH),
        (GROWING % "{% set ns.x = {'c': 1} | merge({'a': ns.x, 'b': ns.x}) %}", TOO_MUCH),
        (GROWING % "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}", TOO_MUCH),
        (
            GROWING % "{% set ns.x = ns.x | replace('x', 'xxxxxxxxx') %}",
            "makes a text of more than",
        ),
        (GROWING % "{% set ns.x = [ns.x, ns.x] | join(ns.x) %}", "makes a text of more than"),
        (GROWING % "{% set ns.x = ns.x | list + ns.x | list %}", TOO_MUCH),
        (GROWING % "{% set ns.x = (ns.x ~ ns.x)[0:] %}", TOO_MUCH),
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            TOO_MUCH,
        ),
        (
            "{% for i in range(9) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
            TOO_MUCH,
        ),
        ("{% for i in range(9) recursive %}{{ loop(range(99999)) }}{% endfor %}", TOO_MUCH),
        ("{{ range(99999) | list | length }}{{ range(99999) | list | length }}", TOO_MUCH),
        ("{{ range(10 ** 9) | list }}", "OverflowError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls are nested deeper than 50"),
        ("{% include 'a.yaml.j2' %}", "is nested too deeply: a template includes itself"),
        (
            "{% set x = range(9999) | list %}{% for i in range(100) %}{{ x == [i] }}{% endfor %}",
            TOO_MUCH,
        ),
        (
            "{% set x = range(9999) | list %}{% for i in range(100) if 'a' in x %}{% endfor %}",
            TOO_MUCH,
        ),
        (
            "{% set x = range(9999) | list %}{% for i in range(100) %}{{ x | max }}{% endfor %}",
            TOO_MUCH,
        ),
        (
            "{% set x = range(9999) | list %}{{ range(100) | select('in', x) | list | length }}",
            TOO_MUCH,
        ),
        (
            "{% set x = range(9999) | list %}{{ range(100) | select('eq', x) | list | length }}",
            TOO_MUCH,
        ),
        (
            "{% macro m() %}" + "x" * 9999 + "{% endmacro %}"
            "{% for i in range(9999) %}{% set x = m() %}{% endfor %}",
            TOO_MUCH,
        ),
        (
            "{% block b %}" + "x" * 9999 + "{% endblock %}"
            "{% for i in range(9999) %}{% set x = self.b() %}{% endfor %}",
            TOO_MUCH,
        ),
    ],
)
def test_all_work_is_bounded(text, message):
    assert message in said(text)


def test_partials_are_charged_too():
    text = "{% for i in range(9999) %}{% set x %}{% include '_i.j2' %}{% endset %}{% endfor %}"
    assert TOO_MUCH in said(text, i="x" * 9999)


def test_the_output_has_a_limit():
    text = "{% for i in range(999) %}" + "x" * 2000 + "{% endfor %}"
    assert said(text) == f"a.yaml.j2:1:1: prints more than {MAX_OUTPUT} characters for one session"


def test_a_budget_is_for_one_rendering():
    templates = compile_templates({"a.yaml.j2": "{% for i in range(80000) %}{% endfor %}b"})
    for _ in range(3):
        assert render_template(templates, "a.yaml.j2", VALUES).text == "b"


def test_a_template_leaves_no_state_for_the_next_rendering():
    counting = (
        "{% set ns = namespace(n=0) %}{% macro next() %}{% set ns.n = ns.n + 1 %}{{ ns.n }}"
        "{% endmacro %}"
    )
    text = "{% import '_c.j2' as c %}{{ c.next() }}{{ c.next() }}"
    templates = compile_templates({"a.yaml.j2": text, "_c.j2": counting})
    for _ in range(2):
        assert render_template(templates, "a.yaml.j2", VALUES).text == "12"


def test_an_error_in_a_partial_names_both_files():
    text = "\n{% from '_m.j2' import m %}{{ m(session) }}"
    macro = "{% macro m(x) %}\n\n{{ x.nme }}{% endmacro %}"
    assert said(text, m=macro) == (
        "_m.j2:3:1: there is no `nme` here; did you mean `name`? (while a.yaml.j2 is rendered)"
    )
