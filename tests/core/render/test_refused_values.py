"""Values that the API server refuses are found in rendered objects, at their paths."""

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.render.validate import find_refused_values
from reconcile.core.source_location import format_document_path
from reconcile.core.yaml_loader import load_documents


def violations(text):
    (document,) = load_documents(text)
    return {
        format_document_path(path): message for path, message in find_refused_values(document.value)
    }


def pod(container, spec=""):
    return (
        "{kind: Pod, spec: {volumes: [{name: work}], containers: "
        f"[{{name: c, {container}}}]{spec}}}}}"
    )


QUOTE = "must be text: use `| quote`"
REFUSED = [
    ("{kind: ConfigMap, data: {a: 5}}", "data.a", QUOTE),
    ("{kind: ConfigMap, data: {a: true}}", "data.a", QUOTE),
    ("{kind: ConfigMap, data: {a: {b: c}}}", "data.a", QUOTE),
    ("{kind: ConfigMap, data: [a]}", "data", "must be a mapping"),
    ("{kind: ConfigMap, data: {a/b: c}}", "data[a/b]", "a key may have letters"),
    ("{kind: ConfigMap, data: {'..': c}}", "data[..]", "a key may have letters"),
    ("{kind: ConfigMap, data: {a: b}, binaryData: {a: Yg==}}", "binaryData.a", "is in `data` too"),
    ("{kind: ConfigMap, binaryData: {a: b}}", "binaryData.a", "must be base64"),
    ("{kind: Secret, data: {a: 5}}", "data.a", QUOTE),
    ("{kind: Secret, data: {a: '!'}}", "data.a", "must be base64"),
    ("{kind: Secret, stringData: {a: 5}}", "stringData.a", QUOTE),
    ("{metadata: {labels: {a: 'b c'}}}", "metadata.labels.a", "letters, digits"),
    (f"{{metadata: {{labels: {{a: {'b' * 64}}}}}}}", "metadata.labels.a", "63"),
    ("{metadata: {labels: {'a b': c}}}", "metadata.labels[a b]", "a name such as"),
    ("{metadata: {annotations: {'a b': c}}}", "metadata.annotations[a b]", "a name such as"),
    (
        f"{{metadata: {{annotations: {{a: {'b' * 300_000}}}}}}}",
        "metadata.annotations",
        "have 300001 bytes",
    ),
    ("{kind: Service, spec: {ports: [{port: 0}]}}", "spec.ports[0].port", "from 1 to 65535"),
    ("{kind: Service, spec: {ports: [{port: '80'}]}}", "spec.ports[0].port", "must be a number"),
    (
        "{kind: Service, spec: {ports: [{port: 80, name: a}, {port: 80, name: b}]}}",
        "spec.ports[1].port",
        "is a duplicate",
    ),
    (
        "{kind: Service, spec: {ports: [{port: 80, name: a}, {port: 81, name: a}]}}",
        "spec.ports[1].name",
        "is a duplicate",
    ),
    (pod("env: [{name: A, value: 5}]"), "spec.containers[0].env[0].value", QUOTE),
    (pod("env: [{name: A, value: false}]"), "spec.containers[0].env[0].value", QUOTE),
    (pod("env: [{value: a}]"), "spec.containers[0].env[0].name", "is missing"),
    (pod("env: [{name: 5}]"), "spec.containers[0].env[0].name", QUOTE),
    (pod("env: [{name: A=B}]"), "spec.containers[0].env[0].name", "printable ASCII"),
    (pod("env: [{name: A}, {name: A}]"), "spec.containers[0].env[1].name", "is a duplicate"),
    (
        pod("env: [{name: A, value: b, valueFrom: {}}]"),
        "spec.containers[0].env[0].valueFrom",
        "excludes `value`",
    ),
    (pod("command: [sleep, 5]"), "spec.containers[0].command[1]", QUOTE),
    (pod("args: [true]"), "spec.containers[0].args[0]", QUOTE),
    (
        pod("ports: [{containerPort: 65536}]"),
        "spec.containers[0].ports[0].containerPort",
        "from 1 to 65535",
    ),
    (
        pod("ports: [{containerPort: true}]"),
        "spec.containers[0].ports[0].containerPort",
        "must be a number",
    ),
    (
        pod("ports: [{containerPort: 80}, {containerPort: 80, protocol: TCP}]"),
        "spec.containers[0].ports[1].containerPort",
        "is a duplicate",
    ),
    (
        pod("ports: [{containerPort: 80, name: a-name-that-is-long}]"),
        "spec.containers[0].ports[0].name",
        "1 to 15",
    ),
    (
        pod("ports: [{containerPort: 80, name: '8080'}]"),
        "spec.containers[0].ports[0].name",
        "1 to 15",
    ),
    (
        pod("volumeMounts: [{name: other, mountPath: /a}]"),
        "spec.containers[0].volumeMounts[0].name",
        "no volume has the name `other`",
    ),
    (
        pod("volumeMounts: [{name: work, mountPath: /a}, {name: work, mountPath: /a}]"),
        "spec.containers[0].volumeMounts[1].mountPath",
        "another volume is mounted there",
    ),
    (
        pod("resources: {limits: {cpu: much}}"),
        "spec.containers[0].resources.limits.cpu",
        "must be a quantity",
    ),
    (
        pod("resources: {limits: {cpu: -1}}"),
        "spec.containers[0].resources.limits.cpu",
        "must be a quantity",
    ),
    (
        pod("resources: {limits: {memory: 1Gi}, requests: {memory: 2G}}"),
        "spec.containers[0].resources.requests.memory",
        "the request of 2G is more than the limit of 1Gi",
    ),
    (pod("image: i", ", initContainers: [{name: c}]"), "spec.containers[0].name", "is a duplicate"),
    ("{kind: Pod, spec: {containers: [{name: A_B}]}}", "spec.containers[0].name", "lower-case"),
    (
        "{kind: Pod, spec: {containers: [], volumes: [{name: a}, {name: a}]}}",
        "spec.volumes[1].name",
        "is a duplicate",
    ),
    (
        "{kind: Job, spec: {template: {spec: {containers: [{env: [{name: A, value: 1}]}]}}}}",
        "spec.template.spec.containers[0].env[0].value",
        QUOTE,
    ),
]


@pytest.mark.parametrize(("text", "path", "message"), REFUSED)
def test_what_the_server_refuses_is_found(text, path, message):
    assert message in violations(text)[path]


@pytest.mark.parametrize(
    "text",
    [
        "{kind: ConfigMap, data: {a: '5', b: null}, binaryData: {c: 'AAEC', d: \"QQ==\\n\"}}",
        "{kind: Secret, data: {a: ''}, stringData: {b: c}}",
        "{metadata: {labels: {a.b/C: D_e.f, g: ''}, annotations: {A.B/c: any text}}}",
        "{kind: Service, spec: {ports: [{port: 53, name: a, protocol: UDP}, {port: 53, name: b}]}}",
        pod("env: [{name: A, value: '5'}, {name: B, valueFrom: {}}, {name: C, value: ''}]"),
        pod("env: [{name: a.b-c, value: null}], ports: [{containerPort: 1, name: http}]"),
        pod("resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 0.5Gi}}"),
        pod("volumeMounts: [{name: work, mountPath: /a}, {name: work, mountPath: /b}]"),
        (
            "{kind: StatefulSet, spec: {volumeClaimTemplates: [{metadata: {name: d}}], template: "
            "{spec: {containers: [{name: c, volumeMounts: [{name: d, mountPath: /d}]}]}}}}"
        ),
        "{kind: Other, data: {a: 5}}",
        "{kind: 5}",
    ],
)
def test_what_the_server_takes_is_not_refused(text):
    assert violations(text) == {}


_NAMES = (
    "spec template containers volumes env ports name value containerPort resources limits requests "
    "cpu volumeMounts mountPath data binaryData labels command"
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70_000) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(_NAMES.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.sampled_from(["Pod", "Job", "Service", "ConfigMap", "Secret"]), _VALUES, _VALUES)
def test_values_of_any_type_are_checked_without_an_error(kind, first, second):
    body = {"kind": kind, "metadata": first, "spec": second, "data": first, "template": second}
    list(find_refused_values(body))


def test_a_pod_is_checked_quickly():
    (document,) = load_documents(
        pod("env: [" + ", ".join(f"{{name: A{n}}}" for n in range(50)) + "]")
    )
    assert timeit.timeit(lambda: list(find_refused_values(document.value)), number=100) < 1
