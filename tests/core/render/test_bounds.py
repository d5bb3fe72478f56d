"""What templates may ask for, by the rules in `spec.allow` of the policy."""

import json
from dataclasses import replace

import pytest

from reconcile.core.model import AllowRules, DesiredSession, Policy
from reconcile.core.render.render import render_session
from tests.core.render.sessions import (
    EVERY_FIELD,
    SHIPPED_TEMPLATES,
    context,
    problems,
    rendered,
    session,
)

STRICT = Policy(
    allow=AllowRules(
        images=("allowed/*",),
        secrets=(),
        config_maps=(),
        service_account_token=False,
        priority_classes=(),
        node_selectors=(),
        tolerations=(),
        max_resources=(("memory", "1Gi"),),
    )
)
STORED = {
    "storage": {"mode": "shared", "sharedSecretName": "store-keys", "caConfigMapName": "ca"},
    "image": "mirror:1",
}
SERVICE_ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "fix"}}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TERM = {"matchExpressions": [{"key": "role", "operator": "In", "values": ["control"]}]}
FIELD_TERM = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}
LIMITS = {"limits": {"memory": "1Gi"}}


def container(**fields):
    return {"name": "runner", "image": "allowed/a", "resources": LIMITS, **fields}


def program(**fields):
    """A container that runs `reconcile-runner` of our own image."""
    own = {"image": "mirror:1", "command": ["reconcile-runner", "bridge"]}
    return container(**own, **fields)


KEYS_MOUNT = {"name": "keys", "mountPath": "/keys"}
KEYS = {"name": "keys", "projected": {"sources": [{"secret": {"name": "store-keys"}}]}}


def pod(*containers, **fields):
    """A pod that every rule allows, with other fields."""
    spec = {"serviceAccountName": "session-fix", "containers": [*containers] or [container()]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "fix-runner"},
        "spec": {**spec, **fields},
    }


def token_secret(account):
    """A Secret in which the server puts a token of a service account."""
    annotations = {"kubernetes.io/service-account.name": account}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "fix-token", "annotations": annotations},
    }


def errors(body, policy=STRICT):
    """The field and the begin of the message of each problem of a template."""
    one = session(STORED)
    result = rendered({"x.yaml.j2": json.dumps(body)}, one, policy)
    if isinstance(result, DesiredSession):
        return {}
    return {problem.field: problem.message.partition(":")[0] for problem in result.problems}


def test_a_pod_within_the_rules_is_accepted():
    mounts = [{"name": "keys", "mountPath": "/keys"}, {"name": "own", "mountPath": "/own"}]
    mirror = container(
        name="sync",
        image="mirror:1",
        volumeMounts=mounts,
        env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "store-keys", "key": "a"}}}],
    )
    runner = container(
        volumeMounts=mounts[1:],
        env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "fix-inputs", "key": "a"}}}],
        envFrom=[{"secretRef": {"name": "x-fix"}}],
        securityContext={"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
        ports=[{"containerPort": 80}],
    )
    volumes = [
        KEYS,
        {"name": "info", "downwardAPI": {"items": [{"path": "uid"}]}},
        {"name": "ca", "configMap": {"name": "ca"}},
        {"name": "own", "secret": {"secretName": "fix"}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "x"}}]}},
    ]
    pull = [{"name": "fix-pull"}]
    bridge = program(name="bridge", resources={})
    assert errors(pod(mirror, runner, bridge, volumes=volumes, imagePullSecrets=pull)) == {}


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (pod(hostNetwork=True), "spec.hostNetwork", "is not allowed"),
        (pod(hostPID=True), "spec.hostPID", "is not allowed"),
        (pod(hostIPC=True), "spec.hostIPC", "is not allowed"),
        (pod(shareProcessNamespace=True), "spec.shareProcessNamespace", "is not allowed"),
        (
            pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}]),
            "spec.volumes[0].hostPath",
            "is not allowed",
        ),
        (
            pod(serviceAccountName="admin"),
            "spec.serviceAccountName",
            "must be the session's own service account, not `admin`",
        ),
        (
            pod(serviceAccountName=None, serviceAccount="admin"),
            "spec.serviceAccount",
            "must be the session's own service account, not `admin`",
        ),
        (
            pod(serviceAccountName=None),
            "spec.automountServiceAccountToken",
            "is not allowed",
        ),
        (
            pod(serviceAccountName="default"),
            "spec.automountServiceAccountToken",
            "is not allowed",
        ),
        (
            pod(automountServiceAccountToken=True),
            "spec.automountServiceAccountToken",
            "is not allowed",
        ),
        (
            pod(imagePullSecrets=[{"name": "x"}]),
            "spec.imagePullSecrets[0].name",
            "Secret `x` is not allowed",
        ),
        (
            pod(priorityClassName="system-node-critical"),
            "spec.priorityClassName",
            "priority class `system-node-critical` is not allowed",
        ),
        (
            pod(nodeName="one"),
            "spec.nodeName",
            "node selector `kubernetes.io/hostname=one` is not allowed",
        ),
        (
            pod(nodeSelector={"role": "x"}),
            "spec.nodeSelector.role",
            "node selector `role=x` is not allowed",
        ),
        (
            pod(tolerations=[{"operator": "Exists"}]),
            "spec.tolerations[0]",
            "taint `*` is not allowed",
        ),
        (
            pod(volumes=[{"name": "a", "secret": {"secretName": "other"}}]),
            "spec.volumes[0].secret",
            "Secret `other` is not allowed",
        ),
        (
            pod(volumes=[{"name": "a", "projected": {"sources": [{"configMap": {"name": "b"}}]}}]),
            "spec.volumes[0].projected.sources[0].configMap",
            "ConfigMap `b` is not allowed",
        ),
        (
            pod(
                container(volumeMounts=[{"name": "a", "mountPath": "/a"}]),
                volumes=[{"name": "a", "secret": {"secretName": "store-keys"}}],
            ),
            "spec.volumes[0].secret",
            "Secret `store-keys` has keys of the store",
        ),
        (
            pod(
                container(volumeMounts=[{"name": "a", "mountPath": "/a"}]),
                volumes=[{"name": "a", "projected": {"sources": [{"serviceAccountToken": {}}]}}],
            ),
            "spec.volumes[0].projected.sources[0].serviceAccountToken",
            "is not allowed",
        ),
        (
            pod(container(image="evil/x")),
            "spec.containers[0].image",
            "`evil/x` is not an allowed image",
        ),
        (
            pod(initContainers=[container(name="init", image="evil/x")]),
            "spec.initContainers[0].image",
            "`evil/x` is not an allowed image",
        ),
        (
            pod(container(securityContext={"privileged": True})),
            "spec.containers[0].securityContext.privileged",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})),
            "spec.containers[0].securityContext.capabilities.add",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"procMount": "Unmasked"})),
            "spec.containers[0].securityContext.procMount",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"windowsOptions": {"hostProcess": True}})),
            "spec.containers[0].securityContext.windowsOptions.hostProcess",
            "is not allowed",
        ),
        (
            pod(container(ports=[{"containerPort": 1, "hostPort": 1}])),
            "spec.containers[0].ports[0].hostPort",
            "is not allowed",
        ),
        (
            pod(
                container(
                    env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "store-keys"}}}]
                )
            ),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.name",
            "Secret `store-keys` has keys of the store",
        ),
        (
            pod(container(envFrom=[{"configMapRef": {"name": "other"}}])),
            "spec.containers[0].envFrom[0].configMapRef.name",
            "ConfigMap `other` is not allowed",
        ),
        (
            pod(container(resources={"limits": {"memory": "2Gi"}})),
            "spec.containers[0].resources.limits.memory",
            "is more than 1Gi",
        ),
        (
            pod(container(image="mirror:1", command=["sh"])),
            "spec.containers[0].image",
            "`mirror",
        ),
        (
            pod(container(image="mirror:1", envFrom=[{"secretRef": {"name": "payroll"}}])),
            "spec.containers[0].envFrom[0].secretRef.name",
            "Secret `payroll` is not allowed",
        ),
        (
            pod(program(volumeMounts=[KEYS_MOUNT]), volumes=[KEYS]),
            "spec.volumes[0].projected.sources[0].secret",
            "Secret `store-keys` has keys of the store",
        ),
        (
            pod({**program(), "command": ["sh"]}),
            "spec.containers[0].image",
            "`mirror",
        ),
        (
            pod(program(resources={"limits": {"memory": "2Gi"}})),
            "spec.containers[0].resources.limits.memory",
            "is more than 1Gi",
        ),
        (
            pod(container(resources={})),
            "spec.containers[0].resources.limits.memory",
            "is missing, and `spec.allow.maxResources` is 1Gi",
        ),
        (
            pod(volumes=[{"name": "a", "image": {"reference": "evil/x"}}]),
            "spec.volumes[0].image.reference",
            "`evil/x` is not an allowed image",
        ),
        (
            pod(volumes=[{"name": "a", "csi": {"nodePublishSecretRef": {"name": "payroll"}}}]),
            "spec.volumes[0].csi.nodePublishSecretRef",
            "Secret `payroll` is not allowed",
        ),
        (
            pod(volumes=[{"name": "a", "azureFile": {"secretName": "payroll"}}]),
            "spec.volumes[0].azureFile.secretName",
            "Secret `payroll` is not allowed",
        ),
        (
            pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TERM]}}}),
            "spec.affinity.nodeAffinity",
            "node selector `role=control` is not allowed",
        ),
        (
            pod(affinity={"nodeAffinity": {PREFERRED: [{"preference": FIELD_TERM}]}}),
            "spec.affinity.nodeAffinity",
            "node selector `kubernetes.io/hostname=node-1` is not allowed",
        ),
        (
            pod(securityContext={"windowsOptions": {"hostProcess": True}}),
            "spec.securityContext.windowsOptions.hostProcess",
            "is not allowed",
        ),
        (
            pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}),
            "spec.securityContext.sysctls",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"seccompProfile": {"type": "Unconfined"}})),
            "spec.containers[0].securityContext.seccompProfile",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"seLinuxOptions": {"type": "spc_t"}})),
            "spec.containers[0].securityContext.seLinuxOptions",
            "is not allowed",
        ),
        (
            pod(container(securityContext={"capabilities": {"add": [{"a": "b"}]}})),
            "spec.containers[0].securityContext.capabilities.add",
            "is not allowed",
        ),
        (
            {**SERVICE_ACCOUNT, "imagePullSecrets": [{"name": "pull"}]},
            "imagePullSecrets[0].name",
            "Secret `pull` is not allowed",
        ),
        (
            token_secret("deployer"),
            "metadata.annotations[kubernetes.io/service-account.name]",
            "must be the session's own service account, not `deployer`",
        ),
        (
            token_secret("session-fix"),
            "metadata.annotations[kubernetes.io/service-account.name]",
            "is not allowed",
        ),
        (
            {**pod(hostNetwork=True), "kind": "Service", "apiVersion": "serving.knative.dev/v1"},
            "spec.hostNetwork",
            "is not allowed",
        ),
    ],
)
def test_what_the_rules_do_not_allow_is_refused(body, field, message):
    found = errors(body)
    assert found.keys() == {field}
    assert found[field].startswith(message)


def test_affinity_to_allowed_nodes_is_accepted():
    term = {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}
    one = pod(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}})
    allowed = replace(STRICT.allow, node_selectors=("gpu",))
    assert errors(one, replace(STRICT, allow=allowed)) == {}
    assert errors(one).keys() == {"spec.affinity.nodeAffinity"}


def test_pod_templates_are_found_at_every_depth():
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "fix-job"},
        "spec": {
            "jobTemplate": {
                "spec": {"template": {"spec": pod(hostNetwork=True)["spec"]}, "list": [{"a": 1}]}
            }
        },
    }
    assert errors(job).keys() == {"spec.jobTemplate.spec.template.spec.hostNetwork"}


@pytest.mark.parametrize("kind", ["Service", "Role", "Secret", "Workflow"])
def test_a_kind_of_an_operator_is_looked_at_whatever_its_name(kind):
    template = {"spec": {"hostNetwork": True, "containers": [container()]}}
    body = {
        "apiVersion": "serving.example.com/v1",
        "kind": kind,
        "metadata": {"name": "fix"},
        "spec": {"template": template, "ports": [{"port": 1}]},
    }
    assert "spec.template.spec.hostNetwork" in errors(body)


def test_a_pod_spec_within_another_one_is_found_too():
    inner = {"hostPID": True, "automountServiceAccountToken": False, "containers": [container()]}
    body = {
        "apiVersion": "example.com/v1",
        "kind": "Workflow",
        "metadata": {"name": "fix"},
        "spec": {"automountServiceAccountToken": False, "containers": [], "template": inner},
    }
    assert errors(body) == {"spec.template.hostPID": "is not allowed"}


def test_a_pod_to_which_admission_adds_the_containers_is_looked_at():
    body = pod(hostNetwork=True, initContainers=[container(image="evil/x")])
    del body["spec"]["containers"]
    assert errors(body).keys() == {"spec.hostNetwork", "spec.initContainers[0].image"}


def test_templates_have_no_role_at_a_cloud_provider_without_a_rule():
    body = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "fix", "annotations": {"eks.amazonaws.com/role-arn": "x", "a": "b"}},
    }
    assert errors(body).keys() == {"metadata.annotations[eks.amazonaws.com/role-arn]"}
    assert errors(body, Policy(allow=AllowRules(denied_annotations=()))) == {}


def test_without_rules_templates_have_no_access_to_the_node():
    body = pod(container(image="any"), hostNetwork=True, priorityClassName="any")
    assert errors(body, Policy()).keys() == {"spec.hostNetwork"}
    assert errors(body, Policy(allow=AllowRules(host_access=True))) == {}


def test_a_violation_names_the_template_and_the_rule():
    text = json.dumps(pod(hostNetwork=True), indent=1)
    line = next(n for n, row in enumerate(text.splitlines(), 1) if "hostNetwork" in row)
    (found,) = problems({"x.yaml.j2": text}, policy=Policy())
    assert found == (
        f"x.yaml.j2:{line}:1: spec.hostNetwork: is not allowed: the owners of policy.yaml can "
        f"allow it in `spec.allow.hostAccess` (line {line} of what it prints); session team-a/fix"
    )


NARROW = AllowRules(
    images=("example.com/runner:*",),
    secrets=("keys", "registry", "git-keys", "search", "s3"),
    config_maps=("authorities",),
    node_selectors=("disk",),
    tolerations=("gpu",),
    priority_classes=("high",),
    max_resources=(("cpu", "2"), ("ephemeral-storage", "20Gi"), ("memory", "8Gi")),
)
LIMITED = {"limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "9Gi"}}
DECLARED = {
    **EVERY_FIELD,
    "runner": {**EVERY_FIELD["runner"], "resources": LIMITED},
    "mirror": {"resources": LIMITED},
}


def shipped_errors(rules):
    """The fields of the shipped pod that the rules refuse."""
    result = render_session(session(DECLARED), SHIPPED_TEMPLATES, context(Policy(allow=rules)))
    return [problem.field for problem in getattr(result, "problems", ())]


def test_the_shipped_pod_keeps_to_rules_that_name_what_the_session_declares():
    assert shipped_errors(NARROW) == []


@pytest.mark.parametrize("secret", ["git-keys", "search"])
def test_the_secret_of_a_credential_must_be_allowed(secret):
    kept = tuple(name for name in NARROW.secrets if name != secret)
    [field] = shipped_errors(replace(NARROW, secrets=kept))
    assert field.endswith(f"projected.sources[{['git-keys', 'search'].index(secret)}].secret")


def test_the_configmap_with_the_runners_authorities_must_be_allowed():
    [field] = shipped_errors(replace(NARROW, config_maps=()))
    assert field.endswith("configMap")
