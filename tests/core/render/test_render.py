"""Rendering of one session into manifests, or into all problems."""

from types import MappingProxyType

import pytest

from reconcile.core.model import (
    ANNOTATION_INPUTS_DIGEST,
    ANNOTATION_RECORD_UID,
    DesiredSession,
    Kind,
    ObjectRef,
    SessionState,
)
from reconcile.core.render.render import RenderFailure
from tests.core.render.sessions import config, problems, rendered, session

POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ session.name }}-pod\n"


def of(text):
    return {"a.yaml.j2": text}


def test_a_template_creates_one_manifest():
    result = rendered(of(config('{"x": "y"}')))
    assert isinstance(result, DesiredSession)
    record, manifest = result.manifests
    assert record.ref == ObjectRef("", "ConfigMap", "team-a", "session-fix")
    assert manifest.ref == ObjectRef("", "ConfigMap", "team-a", "fix-x")
    assert manifest.kind == Kind("v1", "ConfigMap")
    assert manifest.source == "a.yaml.j2"
    assert manifest.body["data"] == {"x": "y"}


@pytest.mark.parametrize(
    "text",
    ["# only this\n", "{# or this #}", "---\n", "{% if false %}\nx\n{% endif %}\n"],
)
def test_a_template_that_prints_nothing_creates_no_object(text):
    assert [manifest.source for manifest in rendered(of(text)).manifests] == ["(record)"]


def test_a_leading_document_marker_is_not_a_second_object():
    assert len(rendered(of("---\n" + config())).manifests) == 2


def test_a_stopped_session_has_everything_but_the_pod():
    files = {"a.yaml.j2": config(), "pod.yaml.j2": POD}
    stopped = rendered(files, session(state=SessionState.STOPPED))
    running = rendered(files)
    kinds = [manifest.kind.name for manifest in running.manifests]
    assert kinds == ["ConfigMap", "ConfigMap", "Pod"]
    assert [manifest.kind.name for manifest in stopped.manifests] == kinds[:2]


def test_a_stopped_sessions_pod_must_still_be_valid():
    assert problems(of(POD + "status: {}\n"), session(state=SessionState.STOPPED))


def test_problems_of_all_templates_are_reported_at_once():
    files = {
        "a.yaml.j2": "\n{{ nope }}",
        "b.yaml.j2": "a: [",
        "c.yaml.j2": config(name="other"),
        "d.yaml.j2": config(),
    }
    found = problems(files)
    assert [problem.split(":")[0] for problem in found] == ["a.yaml.j2", "b.yaml.j2", "c.yaml.j2"]
    assert found[0] == "a.yaml.j2:2:1: `nope` is not defined; session team-a/fix"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\n{% for x in [1, 2] %}\n{{ x }}\n{% endfor %}\nb",
            "3:1: is not valid YAML: a line that is neither `key: value` nor part of a text",
        ),
        ("a: 1\na: 2\n", "2:1: a: key `a` occurs twice (line 2 of what it prints)"),
        (
            "a: 1\nb: 1\n{{ 'c: 1' }}\nd: \x01",
            "a.yaml.j2:4:1: has a control character (U+0001): remove it (line 4 of what it prints)",
        ),
        (
            config() + "---\n" + config(),
            "7:1: prints a second object: a template must create only one",
        ),
        ("- a\n", "1:1: does not print an object: it must be a mapping with apiVersion, kind"),
        ("text", "1:1: does not print an object"),
    ],
)
def test_an_output_that_is_not_an_object_is_reported_with_its_line(text, message):
    (problem,) = problems(of(text))
    assert message in problem


def test_lines_are_found_through_loops_and_conditions():
    text = (
        "apiVersion: v1\nkind: ConfigMap\n{# a\n comment #}\nmetadata:\n"
        "{% if true %}\n  name: {{ session.name }}\n  uid: x\n{% endif %}\n"
    )
    (problem,) = problems(of(text))
    assert problem.startswith("a.yaml.j2:8:1: metadata.uid: ")


def test_two_templates_cannot_create_the_same_object():
    (problem,) = problems({"a.yaml.j2": config(), "b.yaml.j2": config()})
    assert problem == (
        "b.yaml.j2: metadata.name: "
        "creates ConfigMap team-a/fix-x, which a.yaml.j2 already creates; "
        "session team-a/fix"
    )


def test_a_template_cannot_create_the_record():
    (problem,) = problems(of(config(name="session-fix")))
    assert "creates ConfigMap team-a/session-fix, which (record) already creates" in problem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: ConfigMap\nmetadata: {name: fix}", "apiVersion: must be a group and version"),
        (
            "apiVersion: 1\nkind: A\nmetadata: {name: fix}",
            "apiVersion: must be a group and version",
        ),
        ("apiVersion: v1/x\nkind: A\nmetadata: {name: fix}", "apiVersion: must be a group"),
        ("apiVersion: v1\nmetadata: {name: fix}", "kind: must be a kind, as in `Pod`"),
        ("apiVersion: v1\nkind: pod\nmetadata: {name: fix}", "kind: must be a kind"),
        ("apiVersion: v1\nkind: Pod", "metadata: must be a mapping with a name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: []", "metadata: must be a mapping with a name"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}", "metadata.name: must be text"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: 1}", "metadata.name: must be text"),
        (
            config(name="other"),
            "metadata.name: must be `fix`, begin with `fix-` or end with `-fix`",
        ),
        (config(name="fixed"), "metadata.name: must be `fix`, begin with"),
        (config(name="Fix-"), "metadata.name: must contain only dots, lower-case letters"),
        (
            config(name="fix-" + "x" * 250),
            "metadata.name: has 254 characters, but at most 253 are allowed",
        ),
        (config(name="reconcile-inventory-fix"), "metadata.name: names that begin with"),
        (config() + "status: {}", "status: is written by the cluster: remove it"),
    ],
)
def test_the_problems_of_an_object_are_reported(text, message):
    assert any(message in problem for problem in problems(of(text)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fix-" + "x" * 60, "has 64 characters, but at most 63 are allowed: use `| truncate_name`"),
        ("fix.a-fix", "must begin with a letter and contain only lower-case letters"),
        ("1-fix", "must begin with a letter"),
    ],
)
def test_a_services_name_is_a_dns_label(name, message):
    text = f"apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n"
    (problem,) = problems(of(text))
    assert message in problem


@pytest.mark.parametrize("name", ["fix", "fix-a", "a-fix", "a.b-fix"])
def test_these_names_belong_to_the_session(name):
    assert isinstance(rendered(of(config(name=name))), DesiredSession)


@pytest.mark.parametrize("kind", ["Namespace", "ClusterRole", "PersistentVolume", "StorageClass"])
def test_a_session_cannot_own_cluster_scoped_objects(kind):
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: fix}}"
    (problem,) = problems(of(text))
    assert f"kind: a {kind} is cluster-scoped: a session cannot own it" in problem


@pytest.mark.parametrize("kind", ["Event", "Lease", "TokenRequest", "PodList", "Endpoints"])
def test_objects_of_the_control_plane_cannot_be_declared(kind):
    text = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: fix}}"
    (problem,) = problems(of(text))
    assert f"kind: a {kind} is not an object that is stored as declared" in problem


@pytest.mark.parametrize(
    "field", ["ownerReferences", "uid", "resourceVersion", "managedFields", "finalizers"]
)
def test_fields_of_the_reconciler_or_the_server_are_refused(field):
    text = f"apiVersion: v1\nkind: A\nmetadata:\n  name: fix\n  {field}: x\n"
    (problem,) = problems(of(text))
    assert f"a.yaml.j2:5:1: metadata.{field}: may not be set by a template: remove it" in problem


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("namespace: other", "metadata.namespace: must be the session's, team-a: remove it"),
        ("namespace: 1", "metadata.namespace: must be the session's"),
        ("labels: []", "metadata.labels: must be a mapping"),
        ("labels: {a: 1}", "metadata.labels.a: must be text: use `| quote`"),
        ("annotations: {a: true}", "metadata.annotations.a: must be text: use `| quote`"),
        (
            "labels: {reconcile.ambient-code.io/session: x}",
            "metadata.labels[reconcile.ambient-code.io/session]: is set by the reconciler",
        ),
        (
            "labels: {app.kubernetes.io/managed-by: x}",
            "metadata.labels[app.kubernetes.io/managed-by]: is set by the reconciler",
        ),
        (
            "annotations: {reconcile.ambient-code.io/new: x}",
            "metadata.annotations[reconcile.ambient-code.io/new]: is set by the reconciler",
        ),
        (
            f"annotations: {{{ANNOTATION_RECORD_UID}: x}}",
            f"metadata.annotations[{ANNOTATION_RECORD_UID}]: is set by the reconciler",
        ),
        (
            f"labels: {{{ANNOTATION_INPUTS_DIGEST}: x}}",
            f"metadata.labels[{ANNOTATION_INPUTS_DIGEST}]: is set by the reconciler",
        ),
    ],
)
def test_metadata_is_checked(metadata, message):
    text = f"apiVersion: v1\nkind: A\nmetadata:\n  name: fix\n  {metadata}\n"
    (problem,) = problems(of(text))
    assert message in problem


@pytest.mark.parametrize(
    "metadata", ["namespace: team-a", "namespace: null", "labels: null", "labels: {a: null, b: c}"]
)
def test_metadata_may_repeat_the_expected_values(metadata):
    text = f"apiVersion: v1\nkind: A\nmetadata:\n  name: fix\n  {metadata}\n"
    assert isinstance(rendered(of(text)), DesiredSession)


def test_a_template_sets_the_digest_of_the_inputs():
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: fix\n"
        f"  annotations: {{{ANNOTATION_INPUTS_DIGEST}: 'sha256:1'}}\n"
    )
    _, manifest = rendered(of(text)).manifests
    assert manifest.body["metadata"]["annotations"][ANNOTATION_INPUTS_DIGEST] == "sha256:1"


@pytest.mark.parametrize("field", ["data", "stringData"])
def test_a_secret_holds_text(field):
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: fix}}\n{field}: {{a: 1}}\n"
    (problem,) = problems(of(text))
    assert f"{field}.a: must be text: use `| quote`" in problem


def test_the_failure_of_one_session_does_not_affect_others():
    text = "{% if session.name == 'bad' %}{{ nope }}{% endif %}" + config(
        name="x-{{ session.name }}"
    )
    assert isinstance(rendered(of(text), session(name="bad")), RenderFailure)
    assert isinstance(rendered(of(text), session(name="good")), DesiredSession)


def test_templates_see_the_session_its_names_and_the_capabilities():
    text = config(
        '{{ {"a": session.namespace, "b": session.state, "c": (session.labels | merge).l, '
        '"d": session.annotations.n, "e": installation, "f": names.pod} | tojson }}'
    )
    one = session(labels=MappingProxyType({"l": "1"}), annotations={"n": "2"})
    _, manifest = rendered(of(text), one).manifests
    assert manifest.body["data"] == {
        "a": "team-a",
        "b": "Running",
        "c": "1",
        "d": "2",
        "e": "default",
        "f": "fix-runner",
    }
