"""`.session/prompt.json`: which prompts were delivered in this workspace, and how their runs ended.

The file is written before a run is started, so that no snapshot of the workspace holds work of a
prompt without its mark. It is read once, at the start: what the agent does to it later has no
effect on this pod. To have all prompts delivered again, delete the file while no run is open, and
replace the pod.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast, get_args

import orjson

from reconcile.runner.session_dir import SessionDir

NAME: Final = "prompt.json"
_VERSION: Final = 1
_MOST_MARKS: Final = 2000

RunState = Literal["open", "finished", "failed", "interrupted"]
"""`open` is a run whose end was not seen; `interrupted` is what the next start makes of it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A prompt that was delivered.

    `delivered` is RFC 3339, `pod_uid` the pod whose bridge did it. `is_continued` is true if that
    pod has sent the message that continues an interrupted run.
    """

    digest: str
    delivered: str
    pod_uid: str
    run: RunState = "open"
    is_continued: bool = False


@dataclass(slots=True)
class PromptFile:
    """The marks of a workspace; `damaged` says that the file was there and was not understood."""

    folder: SessionDir
    marks: tuple[Mark, ...] = ()
    damaged: bool = False

    def load(self) -> None:
        """Read the marks.

        Raises:
            SessionDirError: The file cannot be read.
        """
        data = self.folder.read(NAME)
        try:
            self.marks, self.damaged = _parse(data) if data else (), False
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            self.marks, self.damaged = (), True

    def find(self, digest: str) -> Mark | None:
        """Find the mark of a prompt."""
        return next((each for each in self.marks if each.digest == digest), None)

    def find_interrupted(self) -> Mark | None:
        """Find the last mark, if its run was cut off and no other has followed it."""
        last = self.marks[-1] if self.marks else None
        return last if last is not None and last.run == "interrupted" else None

    def put(self, mark: Mark) -> None:
        """Add or replace a mark, and write the file.

        Raises:
            SessionDirError: The file cannot be written; the marks are as before.
        """
        if self.find(mark.digest) is None:
            self._write((*self.marks, mark))
        else:
            self._write([mark if each.digest == mark.digest else each for each in self.marks])

    def set_run(self, digest: str, state: RunState) -> None:
        """Say how the run of a prompt ended; raises SessionDirError."""
        mark = self.find(digest)
        if mark is not None and mark.run != state:
            self.put(replace(mark, run=state))

    def restore(self, digest: str, before: Mark | None) -> None:
        """Take back the mark of a run that no runner has accepted; raises SessionDirError."""
        if before is not None:
            self.put(before)
        else:
            self._write([each for each in self.marks if each.digest != digest])

    def _write(self, marks: Sequence[Mark]) -> None:
        kept = tuple(marks)[-_MOST_MARKS:]
        self.folder.write(NAME, _encode(kept))
        self.marks, self.damaged = kept, False


def _encode(marks: Sequence[Mark]) -> bytes:
    prompts = [
        {
            "digest": each.digest,
            "delivered": each.delivered,
            "podUid": each.pod_uid,
            "run": each.run,
            **({"continued": True} if each.is_continued else {}),
        }
        for each in marks
    ]
    return orjson.dumps({"version": _VERSION, "prompts": prompts}) + b"\n"


def _parse(data: bytes) -> tuple[Mark, ...]:
    content: Any = orjson.loads(data)
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError("another version")
    return tuple(_parse_mark(each) for each in content["prompts"])


def _parse_mark(item: Any) -> Mark:
    texts = [item[name] for name in ("digest", "delivered", "podUid", "run")]
    if not all(isinstance(each, str) for each in texts) or texts[3] not in get_args(RunState):
        raise ValueError("not a mark")
    run = cast("RunState", texts[3])
    return Mark(texts[0], texts[1], texts[2], run, item.get("continued") is True)
