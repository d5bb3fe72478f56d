"""What the API server was asked, exactly: its audit log as values.

The server writes an event before it starts on a request and another when it has an answer, and
waits for each write. A client can hold its answer a moment before the second event is there;
`since` therefore takes the requests that were received, and waits until each has its answer there.
Only a watch is not waited for: servers write its answer down when it ends.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.controlplane import waiting

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {"level": "None", "nonResourceURLs": ["/healthz*", "/readyz*", "/livez*", "/metrics"]},
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "Metadata"},
    ],
}
"""All requests but probes and leases, without bodies."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request with its answer.

    Attributes:
        verb: Kubernetes' verb (`list`, `patch`, …), or for a path such as discovery the HTTP method
            in lower case.
        resource: Plural name, empty for other paths.
        subresource: Such as `status`, else empty.
        namespace: Empty for cluster-wide requests.
        name: Empty for collections.
        user: Who asked, before any impersonation; empty when the server could not tell (401).
        code: HTTP status of the answer, 0 for a watch that still runs.
        user_agent: As the client sent it.
        path: Path and query of the request.
    """

    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    user: str
    code: int
    user_agent: str
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the log, as an offset in bytes."""

    offset: int


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log of a running server; any number of processes may read it."""

    path: Path

    def mark(self) -> Mark:
        """Return this moment; requests whose answers the caller already has lie before it."""
        return Mark(self.path.stat().st_size if self.path.exists() else 0)

    def since(self, mark: Mark, *, user: str | None = None) -> list[AuditEvent]:
        """Return the requests that the server received after `mark`, in order of arrival.

        Args:
            mark: From `mark()`.
            user: Only this user's, by the server's name for it (`admin`,
                `system:serviceaccount:<namespace>:<name>`).

        Raises:
            ControlPlaneError: A request got no answer within a minute.
        """
        received = {
            event["auditID"]: _entry(event)
            for event in self._events(mark)
            if _begins(event) and user in (None, _user(event))
        }
        awaited = {request for request, entry in received.items() if entry.verb != "watch"}
        answers: dict[str, AuditEvent] = {}

        def all_answered() -> bool:
            for event in self._events(mark):
                if event["stage"] != "RequestReceived":
                    answers[event["auditID"]] = _entry(event)
            return answers.keys() >= awaited

        waiting.until("answers to all requests in the audit log", all_answered)
        return [answers.get(request, entry) for request, entry in received.items()]

    def _events(self, mark: Mark) -> Iterator[Mapping[str, Any]]:
        with self.path.open("rb") as log:
            log.seek(mark.offset)
            # The last line may still be under the server's pen.
            yield from (json.loads(line) for line in log if line.endswith(b"\n"))


def _begins(event: Mapping[str, Any]) -> bool:
    """Tell a request's first event; one without valid credentials has no other."""
    return event["stage"] == "RequestReceived" or _code(event) == 401


def _entry(event: Mapping[str, Any]) -> AuditEvent:
    target = event.get("objectRef", {})
    return AuditEvent(
        verb=event["verb"],
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        user=_user(event),
        code=_code(event),
        user_agent=event.get("userAgent", ""),
        path=event["requestURI"],
    )


def _user(event: Mapping[str, Any]) -> str:
    return str(event.get("user", {}).get("username", ""))


def _code(event: Mapping[str, Any]) -> int:
    return int(event.get("responseStatus", {}).get("code", 0))
