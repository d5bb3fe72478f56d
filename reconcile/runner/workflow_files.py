"""Whether the agent has changed the files of a workflow, which a new workflow would replace.

A workflow that is a whole repository is looked at with git. One that is a folder of a repository
has none: `.session/workflows.json` has a digest of its files as they were when they were cloned.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from reconcile.runner.folders import is_folder, move_aside, open_folder
from reconcile.runner.inputs import Workflow
from reconcile.runner.local_changes import (
    digest_folder,
    find_reason_to_keep,
    is_real_folder,
    is_repository,
)
from reconcile.runner.session_dir import SessionDir, SessionDirError

NAME: Final = "workflows.json"
_MOST_WORKFLOWS: Final = 100


@dataclass(frozen=True, slots=True)
class WorkflowFiles:
    """Looks at the folders of workflows, and remembers how they were."""

    workspace: Path
    session_dir: SessionDir

    def find_reason_to_keep(self, name: str) -> str:
        """Say what would be lost if a workflow were replaced; empty if nothing would."""
        folder = self._folder(name)
        has_files = is_real_folder(folder) and any(folder.iterdir())
        if not has_files or is_repository(folder):
            return find_reason_to_keep(folder)
        known = self._read().get(name)
        if not known:
            return "it is not known whether its files have been changed"
        return "" if known == digest_folder(folder) else "its files have been changed"

    def adopt(self, workflow: Workflow) -> None:
        """Move a workflow that was cloned to where the runner looks for it, and remember its files.

        What was there before is removed: it had no local changes.

        Raises:
            OSError: It cannot be moved.
        """
        cloned, name = workflow.cloned_name, workflow.name
        if cloned != name:
            with open_folder(self.workspace) as top, open_folder("workflows", top) as parent:
                aside = move_aside(name, parent) if is_folder(name, parent) else ""
                os.rename(cloned, name, src_dir_fd=parent, dst_dir_fd=parent)
                if aside:
                    shutil.rmtree(aside, ignore_errors=True, dir_fd=parent)
        self.record(name)

    def record(self, name: str) -> None:
        """Remember how the files of a workflow are; what cannot be stored is not known later."""
        digest = "" if is_repository(self._folder(name)) else digest_folder(self._folder(name))
        known = {key: text for key, text in self._read().items() if key != name}
        if digest:
            known = dict([*known.items(), (name, digest)][-_MOST_WORKFLOWS:])
        try:
            self.session_dir.write(NAME, orjson.dumps({"version": 1, "digests": known}))
        except SessionDirError:
            return

    def record_if_new(self, name: str) -> None:
        """Remember the files of a workflow that was cloned before the session started."""
        if os.path.lexists(self._folder(name)) and name not in self._read():
            self.record(name)

    def _folder(self, name: str) -> Path:
        return self.workspace / "workflows" / name

    def _read(self) -> dict[str, str]:
        try:
            content: Any = orjson.loads(self.session_dir.read(NAME) or b"{}")
        except (SessionDirError, orjson.JSONDecodeError):
            return {}
        digests = content.get("digests") if isinstance(content, dict) else None
        items = digests.items() if isinstance(digests, dict) else ()
        return {name: text for name, text in items if isinstance(text, str)}
