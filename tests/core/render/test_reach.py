"""What a template renders beyond the session's own pod is found."""

import pytest

from reconcile.core.model import DesiredSession
from reconcile.core.render.reach import find_reach
from reconcile.core.render.render import RenderContext, render_session
from reconcile.core.render.templates import compile_templates
from reconcile.engine.desired import DesiredBuilder
from tests.core.render.sessions import session
from tests.session_files import SHIPPED, policy_text, session_text, tree_of

POD = "apiVersion: v1\nkind: {kind}\nmetadata: {{name: '{{{{ session.name }}}}-x'}}\n{rest}\n"


def template(rest, kind="Pod"):
    return POD.format(kind=kind, rest=rest)


def reached(rest, kind="Pod", **more):
    templates = compile_templates({**SHIPPED, "own.yaml.j2": template(rest, kind), **more})
    wanted = render_session(session(), templates, RenderContext("default"))
    assert isinstance(wanted, DesiredSession)
    return [(field, message) for _, field, message in find_reach(wanted)]


@pytest.mark.parametrize(
    ("rest", "field", "word"),
    [
        ("spec: {volumes: [{name: a, hostPath: {path: /}}]}", "spec.volumes[0].hostPath", "node"),
        ("spec: {hostNetwork: true}", "spec.hostNetwork", "network of the node"),
        ("spec: {hostPID: true}", "spec.hostPID", "processes"),
        ("spec: {hostIPC: true}", "spec.hostIPC", "memory"),
        (
            "spec: {containers: [{ports: [{hostPort: 80}]}]}",
            "spec.containers[0].ports[0].hostPort",
            "port",
        ),
        (
            "spec: {containers: [{securityContext: {privileged: true}}]}",
            "spec.containers[0].securityContext.privileged",
            "all rights",
        ),
        (
            "spec: {containers: [{securityContext: {allowPrivilegeEscalation: true}}]}",
            "spec.containers[0].securityContext.allowPrivilegeEscalation",
            "gain rights",
        ),
        (
            "spec: {containers: [{securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}",
            "spec.containers[0].securityContext.capabilities.add",
            "capabilities",
        ),
        ("spec: {securityContext: {runAsUser: 0}}", "spec.securityContext.runAsUser", "root"),
        (
            "spec: {containers: [{securityContext: {procMount: Unmasked}}]}",
            "spec.containers[0].securityContext.procMount",
            "/proc",
        ),
        ("spec: {nodeName: n1}", "spec.nodeName", "scheduler"),
        ("spec: {serviceAccountName: admin}", "spec.serviceAccountName", "`admin`"),
        ("spec: {priorityClassName: top}", "spec.priorityClassName", "evict"),
        ("spec: {tolerations: [{operator: Exists}]}", "spec.tolerations", "nodes"),
        ("spec: {nodeSelector: {a: b}}", "spec.nodeSelector", "nodes"),
        (
            "spec: {volumes: [{secret: {secretName: other}}]}",
            "spec.volumes[0].secret",
            "`other`",
        ),
        (
            "spec: {volumes: [{projected: {sources: [{secret: {name: other}}]}}]}",
            "spec.volumes[0].projected.sources[0].secret",
            "`other`",
        ),
        (
            "spec: {containers: [{envFrom: [{secretRef: {name: other}}]}]}",
            "spec.containers[0].envFrom[0].secretRef",
            "`other`",
        ),
        (
            "spec: {containers: [{env: [{valueFrom: {secretKeyRef: {name: other, key: a}}}]}]}",
            "spec.containers[0].env[0].valueFrom.secretKeyRef",
            "`other`",
        ),
    ],
)
def test_a_pod_that_reaches_beyond_the_session_is_found_in_any_kind(rest, field, word):
    for kind, where, text in (
        ("Pod", field, rest),
        ("Job", f"spec.template.{field}", f"spec: {{template: {{{rest}}}}}"),
    ):
        ((found, message),) = reached(text, kind)
        assert found == where
        assert word in message


def test_rights_in_the_namespace_are_found():
    ((field, message),) = reached("rules: []", "Role")
    assert (field, message) == ("kind", "a Role gives rights in the namespace")


def test_the_shipped_templates_and_own_secrets_reach_nothing():
    assert reached("data: {a: b}", "ConfigMap") == []
    key = "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ session.name }}-key'}\n"
    own = "spec: {volumes: [{secret: {secretName: '{{ session.name }}-key'}}, {secret: {}}]}"
    assert reached(own, **{"key.yaml.j2": key}) == []
    safe = (
        "spec: {hostNetwork: false, serviceAccountName: default, containers: [{securityContext: "
        "{privileged: false, runAsUser: 7, procMount: Default, capabilities: {add: []}}}]}"
    )
    assert reached(safe) == []


def test_each_template_and_field_is_warned_of_once_for_all_sessions():
    files = {"policy.yaml": policy_text()}
    files |= {f"team-a/{name}.yaml": session_text(name) for name in ("a", "b", "c")}
    builder = DesiredBuilder({**SHIPPED, "own.yaml.j2": template("spec: {hostPID: true}")})
    expected = "own.yaml.j2: spec.hostPID: sees the processes of the node; session team-a/a"
    built = builder.build(tree_of(files))
    assert [str(each) for each in built.warnings] == [f"{expected} and 2 more"]
    del files["team-a/b.yaml"], files["team-a/c.yaml"]
    assert [str(each) for each in builder.build(tree_of(files)).warnings] == [expected]
