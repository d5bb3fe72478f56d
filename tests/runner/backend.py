"""A listener in the place of the platform's backend: records the runner's calls, and answers."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.runner.loopback import JsonHandler, serving


@dataclass(frozen=True, slots=True)
class Call:
    """A request of the runner; `body` is empty for GET."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Backend:
    """A running listener.

    Attributes:
        url: The value of BACKEND_API_URL.
        calls: All requests, in the order of arrival.
        statuses: Of the next calls of `agui/run`, then 200.
        credentials: Answers by provider: status and body; 404 for others.
        latency: The delay of each answer about credentials in seconds.
    """

    url: str
    calls: list[Call] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    credentials: dict[str, tuple[int, Any]] = field(default_factory=dict)
    latency: float = 0.0

    @property
    def prompts(self) -> list[Call]:
        """The calls that ask for a run."""
        return [call for call in self.calls if call.path.endswith("/agui/run")]

    @property
    def asked(self) -> list[str]:
        """The providers that were asked for, in the order of arrival."""
        return [call.path.split("/credentials/")[1] for call in self.calls if call.method == "GET"]


@contextlib.contextmanager
def running() -> Iterator[Backend]:
    """Listen until the end of the block."""
    backend = Backend("")
    with serving(type("Handler", (_Handler,), {"backend": backend})) as url:
        backend.url = f"{url}/api"
        yield backend


class _Handler(JsonHandler):
    backend: Backend

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self._record({})
        time.sleep(self.backend.latency)
        provider = self.path.rpartition("/credentials/")[2]
        self.send(*self.backend.credentials.get(provider, (404, {"error": "none"})))

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        self._record(self.read())
        self.send(self.backend.statuses.pop(0) if self.backend.statuses else 200, {})

    def _record(self, body: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.backend.calls.append(Call(self.command, self.path, headers, body))
