"""Wishes of a session that reach beyond it are warned of, unless the installation has decided."""

import pytest

from tests.core.spec.documents import document, session
from tests.core.spec.trees import tree

STORED = "storage: {mode: shared, sharedSecretName: keys}\nmirror: {image: m}\n"


def warned(spec, defaults=STORED, **files):
    found = tree(defaults=document("SessionDefaults", defaults), team_a__x=session(spec), **files)
    assert not found.problems
    return [(warning.field, warning.message) for warning in found.warnings]


@pytest.mark.parametrize(
    ("spec", "field", "word"),
    [
        ("storage: {sharedSecretName: others}", "spec.storage.sharedSecretName", "S3 keys"),
        ("mirror: {image: evil}", "spec.mirror.image", "S3 keys"),
        ("runner: {envFrom: [{secretRef: {name: keys}}]}", "spec.runner.envFrom[0]", "S3 keys"),
        ("runner: {envFrom: [{secretRef: {name: pay}}]}", "spec.runner.envFrom[0]", "`pay`"),
        ("runner: {imagePullSecrets: [pull]}", "spec.runner.imagePullSecrets[0]", "`pull`"),
        ("runner: {priorityClassName: top}", "spec.runner.priorityClassName", "evict"),
        ("runner: {nodeSelector: {a: b}}", "spec.runner.nodeSelector", "nodes"),
        ("runner: {tolerations: [{operator: Exists}]}", "spec.runner.tolerations", "nodes"),
        ("runner: {serviceAccountToken: true}", "spec.runner.serviceAccountToken", "token"),
        ("network: {allowFrom: [{namespace: x}]}", "spec.network.allowFrom[0]", "namespaces"),
        (
            "network: {allowFrom: [{namespaceLabels: {a: b}, podLabels: {c: d}}]}",
            "spec.network.allowFrom[0]",
            "namespaces",
        ),
    ],
)
def test_a_wish_is_warned_of_unless_the_defaults_have_it(spec, field, word):
    ((where, message),) = warned(spec)
    assert where == field
    assert word in message
    if field.startswith(("spec.runner.", "spec.network.")):
        assert warned("timeout: 5", f"{STORED}{spec}\n") == []


@pytest.mark.parametrize(
    "spec",
    [
        "runner: {envFrom: [{configMapRef: {name: settings}}], image: other}",
        "network: {allowFrom: [{namespace: gateway, podLabels: {app: x}}, {podLabels: {a: b}}]}",
        "storage: {mode: none, sharedSecretName: others}\nmirror: {image: n}",
    ],
)
def test_what_stays_within_the_session_is_not_warned_of(spec):
    assert warned(spec) == []


def test_a_project_may_name_secrets_of_its_namespace_but_not_the_keys():
    project = document(
        "ProjectSettings",
        "runner: {priorityClassName: top, envFrom: [{secretRef: {name: pay}}, "
        "{secretRef: {name: keys}}]}",
    )
    fields = [field for field, _ in warned("timeout: 5", team_a__project=project)]
    assert fields == ["spec.runner.envFrom[1]", "spec.runner.priorityClassName"]


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ("labels: {app: payments}", "select"),
        ("labels: {app.kubernetes.io/name: payments}", "select"),
        ("labels: {azure.workload.identity/use: 'true'}", "cloud role"),
        ("annotations: {eks.amazonaws.com/role-arn: 'arn:x'}", "cloud role"),
        ("annotations: {k8s.v1.cni.cncf.io/networks: other}", "read by the cluster"),
        ("annotations: {example.com/note: x}", ""),
        ("labels: {team: web}", ""),
    ],
)
def test_a_label_or_annotation_with_power_is_warned_of(metadata, word):
    text = session("timeout: 5").replace("metadata:\n", f"metadata:\n  {metadata}\n", 1)
    text = text.replace("metadata: {", f"metadata: {{{metadata}, ", 1)
    messages = [warning.message for warning in tree(team_a__x=text).warnings]
    assert len(messages) == bool(word)
    assert all(word in message for message in messages)
