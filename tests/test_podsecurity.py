"""The restricted profile itself: each rule is broken by one pod, and by it alone."""

from copy import deepcopy
from typing import Any

import pytest

from tests.podsecurity import violations

GOOD: dict[str, Any] = {
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 1001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "a",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "v", "emptyDir": {}}],
}

BROKEN_PODS = [
    ({"hostNetwork": True}, "hostNetwork must not be set"),
    ({"hostPID": True}, "hostPID must not be set"),
    ({"hostIPC": True}, "hostIPC must not be set"),
    (
        {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        "volumes[v] must not be a hostPath",
    ),
    ({"volumes": [{"name": "v", "nfs": {}}]}, "volumes[v] must not be a nfs"),
]

BROKEN_CONTEXTS = [
    (
        {"windowsOptions": {"hostProcess": True}},
        "securityContext.windowsOptions.hostProcess must not be set",
    ),
    ({"runAsUser": 0}, "securityContext.runAsUser must not be 0"),
    (
        {"appArmorProfile": {"type": "Unconfined"}},
        "securityContext.appArmorProfile must be RuntimeDefault or Localhost",
    ),
    (
        {"seLinuxOptions": {"type": "spc_t"}},
        "securityContext.seLinuxOptions.type must be a container's",
    ),
    (
        {"seLinuxOptions": {"user": "u"}},
        "securityContext.seLinuxOptions.user must not be set",
    ),
    (
        {"seLinuxOptions": {"role": "r"}},
        "securityContext.seLinuxOptions.role must not be set",
    ),
]

BROKEN_CONTAINERS = [
    ({"privileged": True}, "privileged must not be set"),
    ({"procMount": "Unmasked"}, "procMount must be Default"),
    ({"allowPrivilegeEscalation": None}, "allowPrivilegeEscalation must be false"),
    ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation must be false"),
    ({"capabilities": {}}, "capabilities.drop must have ALL"),
    ({"capabilities": {"drop": ["KILL"]}}, "capabilities.drop must have ALL"),
    (
        {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_ADMIN"]}},
        "capabilities.add must not have SYS_ADMIN",
    ),
]


def pod(container=None, context=None, **spec):
    made = deepcopy(GOOD)
    made["containers"][0].update(container or {})
    made["securityContext"].update(context or {})
    return {**made, **spec}


def test_a_restricted_pod_breaks_no_rule():
    assert violations(GOOD) == []


@pytest.mark.parametrize(("change", "reason"), BROKEN_PODS)
def test_a_pod_that_reaches_the_node_is_named(change, reason):
    assert violations(pod(**change)) == [reason]


@pytest.mark.parametrize(("change", "reason"), BROKEN_CONTEXTS)
def test_a_pods_security_context_is_judged(change, reason):
    assert violations(pod(context=change)) == [reason]


@pytest.mark.parametrize(("change", "reason"), BROKEN_CONTEXTS)
@pytest.mark.parametrize("field", ["containers", "initContainers", "ephemeralContainers"])
def test_every_containers_security_context_is_judged(field, change, reason):
    base = GOOD["containers"][0]
    container = {**base, "securityContext": {**base["securityContext"], **change}}
    assert violations({**GOOD, field: [container]}) == [f"{field}[a].{reason}"]


@pytest.mark.parametrize(("change", "reason"), BROKEN_CONTAINERS)
def test_a_containers_own_rights_are_judged(change, reason):
    container = {"securityContext": {**GOOD["containers"][0]["securityContext"], **change}}
    assert violations(pod(container)) == [f"containers[a].securityContext.{reason}"]


def test_a_container_may_bind_low_ports():
    capabilities = {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    container: dict[str, Any] = {"securityContext": {"allowPrivilegeEscalation": False}}
    container["securityContext"]["capabilities"] = capabilities
    assert violations(pod(container)) == []


def test_root_is_excluded_by_the_pod_or_by_each_container():
    context = {"seccompProfile": {"type": "RuntimeDefault"}}
    assert violations({**GOOD, "securityContext": context}) == [
        "containers[a].securityContext.runAsNonRoot must be true here or in the pod"
    ]
    container = {"name": "a", "securityContext": dict(GOOD["containers"][0]["securityContext"])}
    container["securityContext"]["runAsNonRoot"] = True
    assert violations({"securityContext": context, "containers": [container]}) == []


def test_a_container_may_not_take_back_what_the_pod_excludes():
    own = {**GOOD["containers"][0]["securityContext"], "runAsNonRoot": False}
    own["seccompProfile"] = {"type": "Unconfined"}
    assert violations(pod({"securityContext": own})) == [
        "containers[a].securityContext.runAsNonRoot must not be false",
        "containers[a].securityContext.seccompProfile must be RuntimeDefault or Localhost",
        "containers[a].securityContext.runAsNonRoot must be true here or in the pod",
        "containers[a].securityContext.seccompProfile must be set here or in the pod",
    ]


def test_seccomp_is_set_by_the_pod_or_by_each_container():
    context = {"runAsNonRoot": True}
    assert violations({**GOOD, "securityContext": context}) == [
        "containers[a].securityContext.seccompProfile must be set here or in the pod"
    ]


def test_only_safe_sysctls_may_be_set():
    sysctls = [{"name": "net.ipv4.tcp_syncookies"}, {"name": "kernel.msgmax"}]
    assert violations(pod(context={"sysctls": sysctls})) == [
        "securityContext.sysctls[kernel.msgmax] is not a safe sysctl"
    ]


def test_a_port_of_the_node_is_named():
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 81}]
    assert violations(pod({"ports": ports})) == ["containers[a].ports[81].hostPort must not be set"]


@pytest.mark.parametrize("action", ["httpGet", "tcpSocket"])
def test_probes_and_hooks_may_not_aim_at_other_hosts(action):
    handler = {action: {"host": "10.0.0.1"}}
    container = {"readinessProbe": handler, "lifecycle": {"preStop": handler}}
    assert violations(pod(container)) == [
        f"containers[a].readinessProbe.{action}.host must not be set",
        f"containers[a].lifecycle.preStop.{action}.host must not be set",
    ]
