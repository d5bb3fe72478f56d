"""Session ids and conversations, in the two places where the real runner has them."""

import re
import uuid
from dataclasses import dataclass
from pathlib import Path

import orjson

IDS_FILE = "claude_session_ids.json"


@dataclass(frozen=True, slots=True)
class Conversations:
    """Ids are below the workspace, conversations below the home directory.

    In a pod both folders are one mounted folder. An id without its conversation cannot be resumed.
    """

    state: Path
    home_state: Path

    def read_id(self, thread: str) -> str:
        """Return the id of a thread, empty if it has none."""
        return self._read_ids().get(thread, "")

    def new_id(self, thread: str) -> str:
        """Give the thread an id, and store it; its conversation does not exist yet."""
        identifier = str(uuid.uuid4())
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / IDS_FILE).write_bytes(orjson.dumps({**self._read_ids(), thread: identifier}))
        return identifier

    def find(self, identifier: str) -> Path | None:
        """Find the conversation's file, whatever the working directory was."""
        return next((self.home_state / "projects").glob(f"*/{identifier}.jsonl"), None)

    def create(self, identifier: str, directory: Path) -> Path:
        """Create the conversation's file."""
        folder = self.home_state / "projects" / re.sub(r"[^A-Za-z0-9]", "-", str(directory))
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{identifier}.jsonl"
        file.touch()
        return file

    def _read_ids(self) -> dict[str, str]:
        try:
            ids = orjson.loads((self.state / IDS_FILE).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return ids if isinstance(ids, dict) else {}


def append(conversation: Path, role: str, text: str) -> None:
    """Append a message."""
    line = orjson.dumps({"type": role, "message": {"role": role, "content": text}}) + b"\n"
    with conversation.open("ab") as file:
        file.write(line)


def count_prompts(conversation: Path) -> int:
    """Count the messages of the user."""
    lines = conversation.read_bytes().splitlines()
    return sum(1 for line in lines if orjson.loads(line).get("type") == "user")
