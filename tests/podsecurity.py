"""The Pod Security Standards' `restricted` profile (baseline included) as a function.

The tests' API server is too old to enforce it. The rules are those of the Kubernetes documentation,
"Pod Security Standards", for Linux pods without user namespaces.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
_SELINUX_TYPES = {
    None,
    "",
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
}
_APPARMOR = {None, "RuntimeDefault", "Localhost"}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def violations(pod_spec: Mapping[str, Any]) -> list[str]:
    """List every rule that a pod's `spec` violates, with the field; empty for a restricted pod."""
    found = list(_pod(pod_spec))
    context = _context(pod_spec)
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod_spec.get(field) or ():
            where = f"{field}[{container.get('name')}]"
            found += [f"{where}.{reason}" for reason in _container(container, context)]
    return found


def _pod(spec: Mapping[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} must not be set"
    for volume in spec.get("volumes") or ():
        for kind in sorted(volume.keys() - {"name"} - _VOLUMES):
            yield f"volumes[{volume.get('name')}] must not be a {kind}"
    context = _context(spec)
    for sysctl in context.get("sysctls") or ():
        if sysctl["name"] not in _SYSCTLS:
            yield f"securityContext.sysctls[{sysctl['name']}] is not a safe sysctl"
    yield from _shared(context)


def _container(container: Mapping[str, Any], pod: Mapping[str, Any]) -> Iterator[str]:
    own = _context(container)
    yield from _shared(own)
    if own.get("privileged"):
        yield "securityContext.privileged must not be set"
    if own.get("procMount") not in (None, "Default"):
        yield "securityContext.procMount must be Default"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "securityContext.allowPrivilegeEscalation must be false"
    if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
        yield "securityContext.runAsNonRoot must be true here or in the pod"
    profile = own.get("seccompProfile") or pod.get("seccompProfile") or {}
    if profile.get("type") not in _SECCOMP:
        yield "securityContext.seccompProfile must be set here or in the pod"
    yield from _capabilities(own.get("capabilities") or {})
    yield from _host(container)


def _shared(context: Mapping[str, Any]) -> Iterator[str]:
    """The rules for the security contexts of both pods and containers."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "securityContext.windowsOptions.hostProcess must not be set"
    if context.get("runAsUser") == 0:
        yield "securityContext.runAsUser must not be 0"
    if context.get("runAsNonRoot") is False:
        yield "securityContext.runAsNonRoot must not be false"
    if "seccompProfile" in context and context["seccompProfile"].get("type") not in _SECCOMP:
        yield "securityContext.seccompProfile must be RuntimeDefault or Localhost"
    if (context.get("appArmorProfile") or {}).get("type") not in _APPARMOR:
        yield "securityContext.appArmorProfile must be RuntimeDefault or Localhost"
    yield from _selinux(context.get("seLinuxOptions") or {})


def _selinux(selinux: Mapping[str, Any]) -> Iterator[str]:
    if selinux.get("type") not in _SELINUX_TYPES:
        yield "securityContext.seLinuxOptions.type must be a container's"
    for field in ("user", "role"):
        if selinux.get(field):
            yield f"securityContext.seLinuxOptions.{field} must not be set"


def _capabilities(capabilities: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "securityContext.capabilities.drop must have ALL"
    for name in capabilities.get("add") or ():
        if name != "NET_BIND_SERVICE":
            yield f"securityContext.capabilities.add must not have {name}"


def _host(container: Mapping[str, Any]) -> Iterator[str]:
    for port in container.get("ports") or ():
        if port.get("hostPort"):
            yield f"ports[{port['containerPort']}].hostPort must not be set"
    lifecycle = container.get("lifecycle") or {}
    handlers = {
        **{name: container.get(name) or {} for name in _PROBES},
        **{f"lifecycle.{name}": lifecycle.get(name) or {} for name in ("postStart", "preStop")},
    }
    for name, handler in handlers.items():
        for action in ("httpGet", "tcpSocket"):
            if (handler.get(action) or {}).get("host"):
                yield f"{name}.{action}.host must not be set"


def _context(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    return owner.get("securityContext") or {}
