"""The audit log of the API server as values: every request and its response.

The server writes an event before it handles a request and another when it has the response, and
waits for each write. A client can have its response a moment before the second event is written.
Therefore `since` takes the received requests and waits until each has its response in the log,
except for watches: servers log the response of a watch when it ends.
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
"""All requests except probes and leases, without bodies."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One request with its response.

    Attributes:
        verb: Kubernetes' verb (`list`, `patch`, …), or for a path such as discovery the HTTP method
            in lower case.
        resource: Plural name, empty for other paths.
        subresource: Such as `status`, else empty.
        namespace: Empty for cluster-wide requests.
        name: Empty for collections.
        user: The user, before any impersonation; empty if not authenticated (401).
        code: HTTP status of the response, 0 for a watch that still runs.
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
        """Return the current end of the log, after all requests whose responses the caller has."""
        return Mark(self.path.stat().st_size if self.path.exists() else 0)

    def since(self, mark: Mark, *, user: str | None = None) -> list[AuditEvent]:
        """Return the requests that the server received after `mark`, in order of arrival.

        Args:
            mark: From `mark()`.
            user: Only the requests of this user, by the server's name for it (`admin`,
                `system:serviceaccount:<namespace>:<name>`).

        Raises:
            ControlPlaneError: A request got no response within a minute.
        """
        received = {
            event["auditID"]: _entry(event)
            for event in self._events(mark)
            if _begins(event) and user in (None, _user(event))
        }
        awaited = {request for request, entry in received.items() if entry.verb != "watch"}
        responses: dict[str, AuditEvent] = {}

        def all_complete() -> bool:
            for event in self._events(mark):
                if event["stage"] != "RequestReceived":
                    responses[event["auditID"]] = _entry(event)
            return responses.keys() >= awaited

        waiting.until("responses to all requests in the audit log", all_complete)
        return [responses.get(request, entry) for request, entry in received.items()]

    def _events(self, mark: Mark) -> Iterator[Mapping[str, Any]]:
        with self.path.open("rb") as log:
            log.seek(mark.offset)
            # The server may still be writing the last line.
            yield from (json.loads(line) for line in log if line.endswith(b"\n"))


def _begins(event: Mapping[str, Any]) -> bool:
    """Return whether this is a request's first event; one that gets a 401 has no other."""
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
