"""Makes a directory the next generation of a session that nobody uses."""

import sys
import tempfile
import uuid
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from reconcile.mirror.backup.archiver import Effort
from reconcile.mirror.backup.syncer import Done, Syncer, Workspace
from reconcile.mirror.concurrency import Limit
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.head import exchange, read_head
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Writer
from reconcile.mirror.protocol import Claimant, Found, Landed, claimed
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.wiring import Opened
from reconcile.mirror.workspace.excludes import Excludes

NAME: Final = "import"


class Imported(Struct, frozen=True):
    """What became a generation, and what could not be read.

    `missing` counts files that changed while they were read or that may not be read: the generation
    is marked partial if there are any. `skipped` counts sockets, devices, what is excluded, and
    what cannot be entered.
    """

    generation: int
    files: int
    missing: int
    skipped: int


def check_free(means: Opened, *, replace: bool) -> Found | None:
    """Return HEAD of a session into which something may be imported.

    Raises:
        SettingsError: The session exists, and nobody said that it may be replaced.
    """
    found = read_head(means.store)
    if found is None or replace or _is_attempt(found):
        return found
    head = found.head
    raise SettingsError(
        f"the session has generation {head.generation.number}, and pod "
        f"{encode_text(head.writer.name or head.writer.uid)} writes it: stop that pod, and give "
        "--replace to make what is imported its next generation"
    )


def import_directory(
    means: Opened, root: Path, excludes: Excludes, before: Found | None
) -> Imported:
    """Claim the session and commit the directory.

    Args:
        means: The session.
        root: The directory.
        excludes: What is left out.
        before: HEAD as `check_free` returned it: who claims after that wins.

    Raises:
        SettingsError: Somebody else has claimed the session meanwhile.
        WorkspaceError: The directory cannot be read.
        StoreError: Something could not be stored.
    """
    if not root.is_dir():
        raise WorkspaceError(f"{root} is no directory")
    writer = _claim(means, before)
    with tempfile.TemporaryDirectory(prefix="reconcile-mirror-") as folder:
        workspace = Workspace(root, excludes, StateDirectory(Path(folder)), writer, sys.maxsize)
        syncer = Syncer(workspace, lambda: means.store, means.lanes, means.clock)
        outcome = syncer.run(Effort(Limit(means.clock), final=True))
    if not isinstance(outcome, Done) or not outcome.generation.number:
        raise WorkspaceError(f"{root} is empty: there is nothing to import")
    return _imported(outcome)


def _claim(means: Opened, before: Found | None) -> Writer:
    claimant = Claimant(f"{NAME}-{uuid.uuid4()}", NAME)
    attempted = claimed(before, claimant, means.clock.time_ns())
    answer = exchange(means.store, attempted, before)
    if not isinstance(answer, Landed):
        name = encode_text(answer.found.head.writer.name)
        raise SettingsError(f"pod {name} has claimed the session meanwhile: nothing was imported")
    return attempted.writer


def _is_attempt(found: Found) -> bool:
    """Tell whether an import claimed the session and came no further."""
    head = found.head
    return not head.generation.number and head.writer.uid.startswith(f"{NAME}-")


def _imported(done: Done) -> Imported:
    skipped = done.survey.skipped
    built = done.captured.built
    return Imported(
        done.generation.number,
        len(built.tree.entries),
        built.missing.files,
        sum(value for value in astuple(skipped) if isinstance(value, int)),
    )
