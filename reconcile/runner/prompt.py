"""The prompt of a session as a run of the runner: its text, its body, and where one comes from."""

import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from reconcile.runner.folders import open_folder, read_file
from reconcile.runner.inputs import Inputs, Workflow

PROMPT_SOURCE: Final = "runner_initial_prompt"
"""What the runner writes into `messages[0].metadata.source` of its own prompt."""

UNASKED_SOURCES: Final = frozenset({"repo_added", "workflow_startup_prompt"})
"""What the runner posts after a change that the bridge has made: it is not what a person asked."""

CONTINUE_SOURCE: Final = "run_interrupted"
CONTINUE_MESSAGE: Final = (
    "You were interrupted while you were working, and the workspace may be as it was some time "
    "before. Check what is done, and continue where you stopped."
)

_LARGEST_CONFIG: Final = 1 << 20


class DeliveryError(Exception):
    """A prompt could not be delivered in the time for it; the message says why."""


def compose_prompt(workspace: Path, inputs: Inputs) -> str:
    """Return what the runner would post: the workflow's own prompt before the session's."""
    startup = _read_startup_prompt(workspace, inputs.workflow)
    return "\n\n".join(each for each in (startup, inputs.prompt.strip()) if each)


def build_body(session: str, text: str, source: str) -> dict[str, Any]:
    """Build the body of a run with one message, as the runner does for its own prompt."""
    metadata = {"hidden": True, "autoSent": True, "source": source}
    message = {"id": str(uuid.uuid4()), "role": "user", "content": text, "metadata": metadata}
    return {
        "threadId": session,
        "runId": str(uuid.uuid4()),
        "messages": [message],
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
    }


def find_source(body: Mapping[str, Any]) -> str:
    """Return `messages[0].metadata.source` of a run; empty if a person has sent it."""
    metadata = _first_message(body).get("metadata")
    source = metadata.get("source") if isinstance(metadata, dict) else None
    return source if isinstance(source, str) else ""


def is_declared(inputs: Inputs, body: Mapping[str, Any]) -> bool:
    """Whether a posted prompt is the declared one.

    The runner keeps the variables that it was started with, which may be of another version than
    the mounted inputs, and which never have a long prompt.
    """
    return not inputs.is_long_prompt and _content(body).strip().endswith(inputs.prompt.strip())


def digest_content(body: Mapping[str, Any]) -> str:
    """The digest of a prompt that only the runner's own variables declare."""
    return hashlib.sha256(_content(body).encode()).hexdigest()


def _first_message(body: Mapping[str, Any]) -> Mapping[str, Any]:
    messages = body.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return first if isinstance(first, dict) else {}


def _content(body: Mapping[str, Any]) -> str:
    content = _first_message(body).get("content")
    return content if isinstance(content, str) else ""


def _read_startup_prompt(workspace: Path, workflow: Workflow | None) -> str:
    """Read `startupPrompt` of the workflow's configuration; empty where there is none.

    The files are a repository's: no link is followed, and what is no JSON has no prompt.
    """
    if workflow is None:
        return ""
    try:
        with (
            open_folder(workspace) as top,
            open_folder("workflows", top) as workflows,
            open_folder(workflow.name, workflows) as folder,
            open_folder(".ambient", folder) as ambient,
        ):
            content = orjson.loads(read_file("ambient.json", ambient, _LARGEST_CONFIG) or b"{}")
    except (OSError, orjson.JSONDecodeError):
        return ""
    prompt = content.get("startupPrompt") if isinstance(content, dict) else None
    return prompt.strip() if isinstance(prompt, str) else ""
