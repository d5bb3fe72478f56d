"""`.session/inputs.json`: what became of each change of the inputs while the session was running.

`{"version": 1, "items": [{"kind", "name", "state", "reason", "time"}]}`; `state` is `done`,
`waiting` or `failed`, `time` is when it became so. Only the last changes are kept.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson

from reconcile.runner.session_dir import SessionDir, SessionDirError
from reconcile.runtime.clock import utc_now
from reconcile.runtime.logging import Logger

NAME: Final = "inputs.json"

State = Literal["done", "waiting", "failed"]
Key = tuple[str, str]

_MOST_DONE: Final = 50
_LONGEST_NAME: Final = 300
_LONGEST_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class ItemState:
    """What became of a change: kind and name of what is changed, and why it waits or failed."""

    kind: str
    name: str
    state: State
    reason: str = ""
    time: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """What identifies the thing that is changed: there is one model, and one workflow."""
        return make_key(self.kind, self.name)


def make_key(kind: str, name: str) -> Key:
    """Return the key of an item."""
    return kind, name[:_LONGEST_NAME] if kind == "repository" else ""


class InputStates:
    """Writes the file when an item changes; `mask` removes secrets from names and reasons.

    Attributes:
        is_changed: Whether there is something to write, or it could not be written.
    """

    def __init__(self, folder: SessionDir, mask: Callable[[str], str], logger: Logger) -> None:
        self._folder = folder
        self._mask = mask
        self._logger = logger
        self._items: dict[Key, ItemState] = {}
        self._written: bytes | None = None
        self._is_failing = False
        self.is_changed = True

    def put(self, item: ItemState) -> None:
        """Replace the state of an item."""
        item = ItemState(
            item.kind,
            self._mask(item.name)[:_LONGEST_NAME],
            item.state,
            self._mask(item.reason)[:_LONGEST_REASON],
            utc_now(),
        )
        if self._items.get(item.key) == item:
            return
        self._items.pop(item.key, None)
        self._items[item.key] = item
        self.is_changed = True
        log = self._logger.warning if item.state == "failed" else self._logger.info
        log("input changed", kind=item.kind, name=item.name, state=item.state, reason=item.reason)

    def retain(self, outstanding: Iterable[tuple[str, str]]) -> None:
        """Forget changes that are neither done nor wanted any more, and all but the last done."""
        wanted = {make_key(kind, self._mask(name)) for kind, name in outstanding}
        done = [key for key, item in self._items.items() if item.state == "done"]
        kept = wanted | set(done[-_MOST_DONE:])
        remaining = {key: item for key, item in self._items.items() if key in kept}
        self.is_changed = self.is_changed or len(remaining) != len(self._items)
        self._items = remaining

    def write(self) -> None:
        """Write the file if it differs; one that cannot be written is reported once."""
        items = [
            {name: getattr(each, name) for name in ("kind", "name", "state", "reason", "time")}
            for each in self._items.values()
        ]
        data = orjson.dumps({"version": 1, "items": items}) if items else b""
        try:
            if self._written is None:
                self._written = self._folder.read(NAME)
            if data != self._written:
                self._folder.write(NAME, data or orjson.dumps({"version": 1, "items": []}))
                self._written = data
            self.is_changed = self._is_failing = False
        except SessionDirError as error:
            if not self._is_failing:
                self._logger.warning("the state of the inputs is not written", error=str(error))
            self._is_failing = True
