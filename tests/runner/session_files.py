"""What the bridge leaves in `.session` of a workspace, for tests."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class SessionFiles:
    """The files of one workspace; what is not there is empty."""

    workspace: Path

    @property
    def marks(self) -> list[dict[str, Any]]:
        """The marks of delivered prompts."""
        return self._read_json("prompt.json").get("prompts", [])

    @property
    def changes(self) -> dict[str, dict[str, str]]:
        """What became of each changed input, by kind and name."""
        items = self._read_json("inputs.json").get("items", [])
        return {f"{each['kind']} {each['name']}".strip(): each for each in items}

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were written; a line that is being written is not one yet."""
        return [orjson.loads(line) for line in self._read("events.jsonl").split(b"\n")[:-1]]

    @property
    def answers(self) -> list[str]:
        """What the agent said."""
        return [each["delta"] for each in self.events if each["type"] == "TEXT_MESSAGE_CONTENT"]

    def find_events(self, kind: str) -> list[dict[str, Any]]:
        """Find all events of a type."""
        return [each for each in self.events if each["type"] == kind]

    def _read_json(self, name: str) -> dict[str, Any]:
        return orjson.loads(self._read(name) or b"{}")

    def _read(self, name: str) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            return (self.workspace / ".session" / name).read_bytes()
        return b""
