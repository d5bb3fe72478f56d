"""Brings a workspace in from where it was kept before, and tells what became of it.

Makes a directory the next generation of a session that nobody uses.
"""

import sys
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias, assert_never

from msgspec import Struct
from msgspec.structs import astuple

from reconcile.mirror.backup.archiver import Effort
from reconcile.mirror.backup.syncer import Done, Syncer, Workspace
from reconcile.mirror.concurrency import Limit
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.head import exchange, read_head
from reconcile.mirror.import_export.git_repos import Repository, restore_all
from reconcile.mirror.import_export.platform_layout import Fetched, fetch
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Writer
from reconcile.mirror.protocol import Claimant, Found, Landed, claimed
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.store.port import Store
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


class FromDirectory(Struct, frozen=True):
    """A directory, which is only read."""

    root: Path


class FromPrefix(Struct, frozen=True):
    """The platform's layout in a bucket; `staging` is where objects become files first."""

    store: Store
    staging: Path | None


Source: TypeAlias = FromDirectory | FromPrefix


class Brought(Struct, frozen=True):
    """What became a generation, and what became of objects and repositories on the way."""

    imported: Imported
    fetched: Fetched | None = None
    repositories: tuple[Repository, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether something is not as it was."""
        lost = self.fetched is not None and (
            self.fetched.layout.refused or self.fetched.layout.renamed or self.fetched.vanished
        )
        problems = any(repository.problems for repository in self.repositories)
        return bool(lost or problems or self.imported.missing)


def bring(means: Opened, source: Source, excludes: Excludes, *, replace: bool) -> Brought:
    """Import; nothing is claimed before everything is at hand.

    Raises:
        SettingsError: The session exists and may not be replaced, or the source is empty.
        WorkspaceError: A directory cannot be read or written.
        StoreError: A store could not be read or written.
    """
    before = check_free(means, replace=replace)
    match source:
        case FromDirectory(root):
            return Brought(import_directory(means, root, excludes, before))
        case FromPrefix(store, staging):
            with _staged(staging) as folder:
                root = Path(folder) / "workspace"
                root.mkdir()
                fetched = fetch(store, root)
                if not fetched.layout.files:
                    raise SettingsError("there is nothing below --from-prefix: is it right?")
                repositories = tuple(restore_all(root))
                imported = import_directory(means, root, excludes, before)
                return Brought(imported, fetched, repositories)
        case _:
            assert_never(source)


def _staged(staging: Path | None) -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(
            prefix="reconcile-mirror-", dir=staging, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise WorkspaceError(f"--staging {staging} cannot be used: {error.strerror}") from None


def told(brought: Brought) -> Iterable[str]:
    """Yield what people should know."""
    imported = brought.imported
    yield f"generation {imported.generation}: {imported.files} entries"
    if imported.skipped:
        yield f"left out: {imported.skipped} entries that are excluded, or no files"
    if imported.missing:
        yield f"not read: {imported.missing} files, so that the generation is marked partial"
    if brought.fetched is not None:
        yield from _told_objects(brought.fetched)
    for repository in brought.repositories:
        name = encode_text(repository.name)
        yield f"repos/{name}: {'restored' if not repository.problems else 'not all restored'}"
        for problem in repository.problems:
            yield f"  {encode_text(problem)}"


def _told_objects(fetched: Fetched) -> Iterable[str]:
    for key, reason in fetched.layout.refused.items():
        yield f"not imported: {encode_text(key)!r} {reason}"
    for key, path in fetched.layout.renamed.items():
        yield f"renamed: {encode_text(key)!r} is {encode_text(path)!r} now"
    for key in fetched.vanished:
        yield f"not imported: {encode_text(key)!r} was deleted meanwhile"
