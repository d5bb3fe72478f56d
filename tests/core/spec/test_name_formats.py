"""Names, labels and annotations that would break an object."""

import pytest

from tests.core.spec.documents import only, problems, session

RESERVED = "is reserved: the reconciler sets it itself"
KUBERNETES = "is reserved for Kubernetes"
KEY = "must be a name such as `team` or `example.com/team`"
NAME = (
    "must be lower-case letters, digits and `-`, at most 55 of them: "
    "the session's Service is called `session-<name>`, and Kubernetes allows 63"
)


@pytest.mark.parametrize("name", ["a" * 56, "a.b", "A", "-a", "a-", "a_b", "''", "a/b"])
def test_a_name_that_would_break_an_object_is_refused(name):
    assert problems(session("timeout: 1", name=name)) == [
        f"team-a/x.yaml:4:9: metadata.name: {NAME}"
    ]


@pytest.mark.parametrize("name", ["a" * 55, "1a", "a-b", "'1'"])
def test_a_name_that_fits_everywhere_is_accepted(name):
    assert problems(session("timeout: 1", name=name)) == []


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("reconcile.ambient-code.io/session", RESERVED),
        ("reconcile.ambient-code.io/inputs-digest", RESERVED),
        ("reconcile.ambient-code.io/record-uid", RESERVED),
        ("app.kubernetes.io/managed-by", RESERVED),
        ("kubernetes.io/hostname", KUBERNETES),
        ("k8s.io/x", KUBERNETES),
        ("container.apparmor.security.beta.kubernetes.io/runner", KUBERNETES),
        ("x.k8s.io/y", KUBERNETES),
        ("'a b'", KEY),
        ("a/b/c", KEY),
        ("A.example.com/x", KEY),
        ("/x", KEY),
        ("''", KEY),
        ("-a", KEY),
        ("a" * 64, KEY),
    ],
)
@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_a_reserved_or_malformed_label_or_annotation_is_refused(kind, key, message):
    (found,) = problems(session("timeout: 1", metadata=f"{kind}:\n  {key}: x"))
    assert found.startswith(f"team-a/x.yaml:6:5: metadata.{kind}")
    assert found.endswith(message)


@pytest.mark.parametrize(
    "key",
    [
        "team",
        "example.com/team",
        "app.kubernetes.io/name",
        "cluster-autoscaler.kubernetes.io/safe-to-evict",
        "a" * 63,
        "notkubernetes.io/x",
    ],
)
def test_a_custom_label_is_accepted(key):
    declared = only(session("timeout: 1", metadata=f"labels: {{{key}: x}}"))
    assert declared.metadata.labels == {key: "x"}


def test_a_labels_value_has_fewer_characters_than_an_annotations():
    assert problems(session("timeout: 1", metadata="labels: {a: b c}")) == [
        "team-a/x.yaml:5:15: metadata.labels.a: must be letters, digits, `-`, `_` and `.`"
    ]
    assert problems(session("timeout: 1", metadata="annotations: {a: b c}")) == []
