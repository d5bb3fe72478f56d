"""Requests to a runner, and the events of its runs."""

import contextlib
import socket
import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from tests.controlplane import waiting

TOKEN_HEADER = "X-Ambient-Session-Token"
PATIENCE_S = 60.0
ENDS = ("RUN_FINISHED", "RUN_ERROR")


@dataclass
class Run:
    """A run whose events a thread reads.

    Attributes:
        events: What has come so far.
        is_closed: Whether the stream has ended, by its end or by an error.
    """

    response: httpx.Response
    events: list[dict[str, Any]] = field(default_factory=list)
    is_closed: bool = False

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def types(self) -> list[str]:
        """The types of the events, without those that only some runs have."""
        return [each["type"] for each in self.events if each["type"] != "CUSTOM"]

    @property
    def text(self) -> str:
        """All that the agent said."""
        return "".join(each.get("delta", "") for each in self.events if "messageId" in each)

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of RUN_FINISHED, if it has one."""
        ends = [each for each in self.events if each["type"] == "RUN_FINISHED"]
        return ends[-1].get("result") if ends else None

    def wait_for(self, kind: str, timeout_s: float = PATIENCE_S) -> None:
        """Wait for an event of that type."""
        waiting.until(
            kind, lambda: any(each["type"] == kind for each in self.events), timeout_s=timeout_s
        )

    def wait(self, timeout_s: float = PATIENCE_S) -> "Run":
        """Wait for the end of the stream."""
        waiting.until("the end of the run", lambda: self.is_closed, timeout_s=timeout_s)
        self.close()
        return self

    def is_silent_for(self, seconds: float, events: int) -> bool:
        """Whether after that time there are still only so many events, and no end."""
        self._thread.join(seconds)
        return not self.is_closed and len(self.events) == events

    def close(self) -> None:
        """Hang up."""
        stream = self.response.extensions.get("network_stream")
        if stream is not None and not self.is_closed:
            # The thread is waiting for data; a shutdown of the socket ends that, a close does not.
            with contextlib.suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.response.close()

    def _read(self) -> None:
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError):
            for line in self.response.iter_lines():
                if line.startswith("data: "):
                    self.events.append(orjson.loads(line.removeprefix("data: ")))
        self.is_closed = True


class RunnerClient:
    """Requests to one runner, each on a new connection."""

    def __init__(self, url: str, token: str, thread: str) -> None:
        self.url = url
        self.thread = thread
        self._token = token
        self._client = httpx.Client(
            base_url=url,
            headers={TOKEN_HEADER: token, "Connection": "close"},
            timeout=PATIENCE_S,
            trust_env=False,
        )
        self._runs: list[Run] = []

    def get(self, path: str) -> httpx.Response:
        """Get."""
        return self._client.get(path)

    def post(
        self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Post."""
        return self._client.post(path, json=body, headers=headers)

    def start(self, prompt: str, **more: Any) -> Run:
        """Start a run; `more` are other fields of the request."""
        message = {"id": str(uuid.uuid4()), "role": "user", "content": prompt}
        return self.start_body({"threadId": self.thread, "messages": [message], **more})

    def start_body(self, body: dict[str, Any]) -> Run:
        """Start a run with this body."""
        request = self._client.build_request("POST", "/", json=body, timeout=None)
        run = Run(self._client.send(request, stream=True))
        self._runs.append(run)
        return run

    def run(self, prompt: str, timeout_s: float = PATIENCE_S) -> Run:
        """Start a run, and wait for its end."""
        return self.start(prompt).wait(timeout_s)

    def interrupt(self, thread: str | None = None) -> httpx.Response:
        """Interrupt the open run."""
        return self.post("/interrupt", {"thread_id": thread or self.thread})

    def interrupt_until_end(self, run: Run) -> None:
        """Interrupt until the run ends: what comes before the agent's program runs is lost."""

        def interrupt_again() -> bool:
            assert self.interrupt().is_success
            return run.is_closed

        waiting.until("the end of the interrupted run", interrupt_again)
        run.wait()

    def close(self) -> None:
        """Hang up everywhere."""
        for run in self._runs:
            run.close()
        self._client.close()
