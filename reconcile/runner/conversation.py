"""Repairs the runner's state before it starts: what it would wait for without end.

The runner keeps the id of each thread's conversation in one file, and the conversation in another.
With an id whose conversation is gone, every run says nothing for ever.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

from reconcile.runner.folders import (
    ensure_folder,
    is_folder,
    move_aside,
    open_folder,
    read_file,
    replace_file,
)

IDS_FILE: Final = "claude_session_ids.json"
_PROJECTS: Final = "projects"
_SUFFIX: Final = ".jsonl"
_LARGEST_IDS_FILE: Final = 1 << 20
_MOST_CONVERSATIONS: Final = 100_000
"""In a folder with more, it is not known which conversations are there, and no id is removed."""


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done: the ids that were removed, and what was moved aside, by its new name."""

    removed: tuple[str, ...] = ()
    moved: str = ""


def repair_conversations(state_dir: int) -> Repair:
    """Remove the ids without a conversation from the file of ids; moves aside what is no such file.

    Args:
        state_dir: A descriptor of the runner's state directory.

    Raises:
        OSError: The file cannot be read or replaced.
    """
    try:
        data = read_file(IDS_FILE, state_dir, _LARGEST_IDS_FILE)
    except FileNotFoundError:
        return Repair()
    ids = _parse(data)
    if ids is None:
        return Repair(moved=move_aside(IDS_FILE, state_dir))
    kept = _keep_existing(ids, state_dir)
    if len(kept) == len(ids):
        return Repair()
    mode = stat.S_IMODE(os.stat(IDS_FILE, dir_fd=state_dir, follow_symlinks=False).st_mode)
    replace_file(IDS_FILE, state_dir, orjson.dumps(kept), mode)
    return Repair(removed=tuple(str(ids[thread]) for thread in ids if thread not in kept))


def _parse(data: bytes | None) -> dict[str, Any] | None:
    try:
        ids: Any = orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return None
    return ids if isinstance(ids, dict) else None


def _keep_existing(ids: dict[str, Any], state_dir: int) -> dict[str, Any]:
    found = list(islice(_list_conversations(state_dir), _MOST_CONVERSATIONS))
    if len(found) == _MOST_CONVERSATIONS:
        return ids
    existing = set(found)
    return {
        thread: each for thread, each in ids.items() if isinstance(each, str) and each in existing
    }


def _list_conversations(state_dir: int) -> Iterator[str]:
    """Yield the id of each conversation of any project that is a file with content."""
    if not is_folder(_PROJECTS, state_dir):
        return
    ensure_folder(_PROJECTS, state_dir)  # gives it its rights back
    with open_folder(_PROJECTS, state_dir) as projects, os.scandir(projects) as folders:
        for folder in folders:
            if folder.is_dir(follow_symlinks=False):
                with suppress(PermissionError):
                    yield from _list_files(folder.name, projects)


def _list_files(folder: str, projects: int) -> Iterator[str]:
    with open_folder(folder, projects) as descriptor, os.scandir(descriptor) as files:
        for file in files:
            is_file = file.name.endswith(_SUFFIX) and file.is_file(follow_symlinks=False)
            if is_file and file.stat(follow_symlinks=False).st_size:
                yield file.name.removesuffix(_SUFFIX)
