"""A double of Anthropic's Messages API on loopback, for the program that the SDK carries.

It answers as `commands.py` says, from the conversation that each request holds: the number of
prompts in it shows whether a conversation was resumed. `python -m tests.runner.messages_api` runs
it alone and prints the variable that names it.
"""

import argparse
import contextlib
import re
import signal
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.runner import commands
from tests.runner.loopback import JsonHandler, serving

_NOT_PROMPTS = ("<system-reminder>", "[Request interrupted")
"""What the program itself adds to the messages of the user."""
_WORKING_DIRECTORY = re.compile(r"orking directory: ([^\s\\]+)")
_USAGE = {"input_tokens": 1, "output_tokens": 1}


@dataclass
class MessagesApi:
    """A running API.

    Attributes:
        url: The value of ANTHROPIC_BASE_URL.
        refuses: Whether every request is answered 401 from now on.
        requests: The body of each request for an answer, in the order of arrival.
    """

    url: str
    refuses: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def list_prompts(self) -> list[str]:
        """Return the last prompt of each request that has tools: those of the agent itself."""
        return [(_list_prompts(each) or [""])[-1] for each in self.requests if each.get("tools")]


@contextlib.contextmanager
def running(port: int = 0) -> Iterator[MessagesApi]:
    """Run the API until the end of the block."""
    api = MessagesApi("")
    with serving(type("Handler", (_Handler,), {"api": api}), port) as url:
        api.url = url
        try:
            yield api
        finally:
            api.stopped.set()


class _Handler(JsonHandler):
    protocol_version = "HTTP/1.1"
    api: MessagesApi

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        self._refuse(404, "not_found_error", self.path)

    def do_HEAD(self) -> None:  # noqa: N802 - the name that http.server calls
        self._refuse(404, "not_found_error", self.path)

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        body, path = self.read(), urlsplit(self.path).path
        if self.api.refuses:
            self._refuse(401, "authentication_error", "invalid x-api-key")
        elif path.endswith("/count_tokens"):
            self.send(200, {"input_tokens": 1})
        elif path.endswith("/messages"):
            self.api.requests.append(body)
            self._answer(body)
        else:
            self._refuse(404, "not_found_error", path)

    def _answer(self, body: dict[str, Any]) -> None:
        block = _make_block(body, self.api.stopped)
        if block is None:
            self._refuse(400, "invalid_request_error", "the prompt asks for an error")
        elif body.get("stream"):
            self._stream(body, block)
        else:
            self.send(200, {**_make_message(body), "content": [block], **_end(block)})

    def _stream(self, body: dict[str, Any], block: dict[str, Any]) -> None:
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in _list_events(body, block):
                self.wfile.write(f"event: {event['type']}\ndata: ".encode())
                self.wfile.write(orjson.dumps(event) + b"\n\n")

    def _refuse(self, status: int, kind: str, message: str) -> None:
        self.send(status, {"type": "error", "error": {"type": kind, "message": message}})


def _list_prompts(body: dict[str, Any]) -> list[str]:
    """List the prompts of people, without what the program and its tools add."""
    users = (each for each in body.get("messages", []) if each.get("role") == "user")
    return [text for user in users for text in _list_texts(user.get("content", ""))]


def _list_texts(content: str | list[dict[str, Any]]) -> list[str]:
    """List the texts of a message; prompts without an answer between them are in one message."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [each["text"].strip() for each in blocks if each.get("type") == "text"]
    return [text for text in texts if text and not text.startswith(_NOT_PROMPTS)]


def _make_block(body: dict[str, Any], stopped: threading.Event) -> dict[str, Any] | None:
    """Return the block of the answer, or None for a refusal."""
    prompts = _list_prompts(body)
    prompt = prompts[-1] if prompts else ""
    match commands.parse(prompt) if body.get("tools") else commands.Say(prompt):
        case commands.Write(file, text) if not _has_tool_result(body):
            # The conversation before a change of the workflow has named another one.
            found = _WORKING_DIRECTORY.findall(orjson.dumps(body).decode())
            path = f"{found[-1] if found else ''}/{file}"
            given = {"file_path": path, "content": text}
            name = f"toolu_{uuid.uuid4().hex[:20]}"
            return {"type": "tool_use", "id": name, "name": "Write", "input": given}
        case commands.Sleep(seconds):
            stopped.wait(seconds)
        case commands.Silent():
            stopped.wait()
        case commands.Refuse():
            return None
    return {"type": "text", "text": commands.answer(len(prompts), prompt)}


def _has_tool_result(body: dict[str, Any]) -> bool:
    content = body["messages"][-1].get("content", "")
    return isinstance(content, list) and any(each.get("type") == "tool_result" for each in content)


def _make_message(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _USAGE,
    }


def _end(block: dict[str, Any]) -> dict[str, Any]:
    return {"stop_reason": "tool_use" if block["type"] == "tool_use" else "end_turn"}


def _list_events(body: dict[str, Any], block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": _make_message(body)}
    if block["type"] == "tool_use":
        start: dict[str, Any] = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}
    else:
        start = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": block["text"]}
    yield {"type": "content_block_start", "index": 0, "content_block": start}
    yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    end = {**_end(block), "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": _USAGE}
    yield {"type": "message_stop"}


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.runner.messages_api", description=__doc__
    )
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (default: any)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(options.port) as api, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"export ANTHROPIC_BASE_URL={api.url}\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
