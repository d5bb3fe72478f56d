"""Whatever a file holds, it is read or refused: nothing is raised, and no order matters."""

import random

import orjson
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.declarations import InvalidFile
from reconcile.core.spec.parse import parse_file
from reconcile.core.yaml_loader import load_documents
from tests.core.spec.documents import document, session
from tests.core.spec.test_json_schema import EVERY_FIELD
from tests.core.spec.test_parse import EXPORTED

PATHS = ["policy.yaml", "defaults.yaml", "team-a/project.yaml", "team-a/x.yaml", "x.yaml"]
TEXTS = [
    EXPORTED,
    session(EVERY_FIELD),
    document("Policy", "namespaces: [team-a]\nbudgets: {deletes: {percent: 5}}"),
    document("SessionDefaults", "runner: {port: 1}\ncapabilities: {sidecar: native}"),
    document("SessionDefaults", "image: ours:1\nmirror: {image: ours:1}"),
    document(
        "ProjectSettings",
        "groupAccess: []\ntimeout: 5\nrunnerSecretsName: keys\ninactivityTimeoutSeconds: 9\n"
        "mcpServers: {custom: {a: {url: b}}, disabled: [c]}",
    ),
]
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
CUTS = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5), st.text(max_size=5)), max_size=4)
CANARY = "c4n4ry"


def paths_in(value, path=()):
    """Every way into a JSON value."""
    yield path
    steps = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for step in steps:
        yield from paths_in(value[step], (*path, step))


def replaced(value, path, new):
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


def check(result):
    assert isinstance(result.content, InvalidFile) is bool(result.problems)
    assemble_tree([result], ["team-a"])


@given(st.sampled_from(PATHS), st.binary())
def test_arbitrary_bytes_are_read_or_refused(path, content):
    check(parse_file(path, content))


@given(st.sampled_from(PATHS), st.sampled_from(TEXTS), CUTS)
def test_a_mutilated_text_is_read_or_refused(path, text, cuts):
    for at, length, insert in cuts:
        text = text[:at] + insert + text[at + length :]
    check(parse_file(path, text.encode("utf-8", "replace")))


@given(st.sampled_from(PATHS), st.sampled_from(TEXTS), st.data())
def test_a_document_with_any_value_anywhere_is_read_or_refused(path, text, data):
    value = load_documents(text)[0].value
    where = data.draw(st.sampled_from(list(paths_in(value))))
    changed = replaced(value, where, data.draw(VALUES))
    check(parse_file(path, orjson.dumps(changed)))


@given(st.sampled_from(TEXTS), st.data())
def test_no_message_ever_repeats_a_value(text, data):
    value = load_documents(text)[0].value
    # An image is no secret: a message has the line to write instead of this one.
    leaves = [path for path in paths_in(value) if path and path[-2:] != ("mirror", "image")]
    where = data.draw(st.sampled_from(leaves))
    canary = data.draw(st.sampled_from([CANARY, f"-{CANARY}\n", f"https://u:{CANARY}@h/x"]))
    new = data.draw(st.sampled_from([canary, [canary], {"a": canary}]))
    for path in PATHS:
        result = parse_file(path, orjson.dumps(replaced(value, where, new)))
        assert CANARY not in "".join(map(str, result.problems + result.warnings))


@given(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(TEXTS))), st.randoms())
def test_the_order_of_files_does_not_matter(files, shuffler: random.Random):
    unique = {f"{index}{path}" if path == "x.yaml" else path: text
              for index, (path, text) in enumerate(files)}  # fmt: skip
    results = [parse_file(path, text.encode()) for path, text in unique.items()]
    shuffled = results.copy()
    shuffler.shuffle(shuffled)
    assert assemble_tree(results) == assemble_tree(shuffled)
