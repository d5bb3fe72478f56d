"""Wishes of a session that reach beyond it are warned of, unless the installation has decided."""

import pytest

from tests.core.spec.documents import document, session
from tests.core.spec.trees import tree

STORED = "storage: {mode: shared, sharedSecretName: keys}\nimage: m\n"
NO_RULES = document("Policy", "installation: a")


def warned(spec, defaults=STORED, policy=NO_RULES, **files):
    files["defaults"] = document("SessionDefaults", defaults)
    found = tree(policy=policy, team_a__x=session(spec), **files)
    assert not found.problems
    return [
        (warning.field, warning.message)
        for warning in found.warnings
        if warning.field != "spec.allow"
    ]


@pytest.mark.parametrize(
    ("spec", "field", "word"),
    [
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
    assert warned("maxDuration: 5", f"{STORED}{spec}\n") == []
    has_no_rule = field.startswith("spec.network.")
    assert len(warned(spec, policy=document("Policy", "allow: {}"))) == has_no_rule


@pytest.mark.parametrize(
    "spec",
    [
        "runner: {envFrom: [{configMapRef: {name: settings}}], image: other}",
        "network: {allowFrom: [{namespace: gateway, podLabels: {app: x}}, {podLabels: {a: b}}]}",
    ],
)
def test_what_stays_within_the_session_is_not_warned_of(spec):
    assert warned(spec) == []


def test_a_project_may_name_secrets_of_its_namespace():
    project = document(
        "ProjectSettings", "runner: {priorityClassName: top, envFrom: [{secretRef: {name: pay}}]}"
    )
    fields = [field for field, _ in warned("maxDuration: 5", team_a__project=project)]
    assert fields == ["spec.runner.priorityClassName"]


@pytest.mark.parametrize(
    ("metadata", "word"),
    [
        ("labels: {app: payments}", "select"),
        ("labels: {app.kubernetes.io/name: payments}", "select"),
        ("labels: {azure.workload.identity/use: 'true'}", "cloud role"),
        ("annotations: {vault.hashicorp.com/agent-inject: 'true'}", "cloud role"),
        ("annotations: {k8s.v1.cni.cncf.io/networks: other}", "read by the cluster"),
        ("annotations: {example.com/note: x}", ""),
        ("labels: {team: web}", ""),
    ],
)
def test_a_label_or_annotation_with_power_is_warned_of(metadata, word):
    text = session("maxDuration: 5").replace("metadata:\n", f"metadata:\n  {metadata}\n", 1)
    text = text.replace("metadata: {", f"metadata: {{{metadata}, ", 1)
    found = tree(policy=NO_RULES, team_a__x=text)
    messages = [each.message for each in found.warnings if each.field != "spec.allow"]
    assert len(messages) == bool(word)
    assert all(word in message for message in messages)
