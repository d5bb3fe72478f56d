"""Words what a pod's status says about its containers."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconcile.core.lifecycle.messages import BridgeEnd, parse_message, word_preparation
from reconcile.core.lifecycle.pod_status import (
    PREPARE,
    ContainerStatus,
    exit_code_of,
    find_bridge_end,
    text_or_empty,
)


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to say about a session.

    `text` is in our words. `output` is what a container, a node or the server wrote: any text, up
    to some KiB, neither masked nor escaped.
    """

    text: str
    output: str = ""


def describe_containers(containers: Iterable[ContainerStatus]) -> Iterator[Remark]:
    """Say which containers wait, have failed, have left a message, or were restarted, and why."""
    for container in containers:
        if end := find_bridge_end([container]):
            yield describe_bridge_end(end)
            continue
        if container.is_stuck:
            yield describe_wait(container)
        if container.has_failed or _has_message(container):
            yield describe_end(container)
        if container.restarts or container.last_terminated:
            yield _describe_restarts(container)


def describe_bridge_end(end: BridgeEnd) -> Remark:
    """Say why the bridge has ended the work."""
    return Remark(end.text, end.message)


def _has_message(container: ContainerStatus) -> bool:
    """Whether a container has left a message with anything remarkable in it."""
    message = text_or_empty(container.terminated.get("message")).strip()
    known = parse_message(message) if container.name == PREPARE else None
    return bool(message if known is None else word_preparation(known))


def describe_wait(container: ContainerStatus) -> Remark:
    """Say why a container waits."""
    reason = text_or_empty(container.waiting.get("reason"))
    message = text_or_empty(container.waiting.get("message"))
    return Remark(f"{container.title} waits ({reason})", message)


def describe_end(container: ContainerStatus) -> Remark:
    """Say how a container has ended, with its termination message."""
    message = text_or_empty(container.terminated.get("message"))
    if container.name == PREPARE:
        return _describe_preparation(container, message)
    return Remark(f"{container.title} {_format_end(container.terminated)}", message)


def _describe_preparation(container: ContainerStatus, message: str) -> Remark:
    words = word_preparation(parse_message(message) or {})
    if container.has_failed:
        ended = _format_end(container.terminated)
        text = f"the workspace could not be prepared: {container.title} {ended}"
        return Remark(text, words or message)
    return Remark(container.title, words or message)


def _describe_restarts(container: ContainerStatus) -> Remark:
    message = text_or_empty(container.last_terminated.get("message"))
    ended = f"before, it {_format_end(container.last_terminated)}"
    if not container.restarts:
        return Remark(f"{container.title}: {ended}", message)
    count = "once" if container.restarts == 1 else f"{container.restarts} times"
    restarted = f"{container.title} was restarted {count}"
    return Remark(f"{restarted}; {ended}" if container.last_terminated else restarted, message)


_PLAIN_ENDS: Final = frozenset({"", "Completed", "Error"})
"""Reasons that say no more than the exit code."""

_KILLED: Final = 128
_SIGNALS: Final = {
    1: "SIGHUP",
    2: "SIGINT",
    3: "SIGQUIT",
    4: "SIGILL",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
    13: "SIGPIPE",
    15: "SIGTERM",
}
"""The signals that end programs; the exit code is then 128 more."""


def _format_end(terminated: Mapping[str, Any]) -> str:
    code = exit_code_of(terminated)
    signal = terminated.get("signal") or code - _KILLED
    reason = text_or_empty(terminated.get("reason"))
    known = (
        _SIGNALS.get(signal, "") if isinstance(signal, int) else "",
        reason if reason not in _PLAIN_ENDS else "",
    )
    notes = ", ".join(filter(None, known))
    return f"ended with exit code {code}" + (f" ({notes})" if notes else "")
