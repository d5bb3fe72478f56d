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

from reconcile.mirror.backup.archiver import PassOptions
from reconcile.mirror.backup.syncer import PassResult, Syncer, Workspace
from reconcile.mirror.concurrency import Deadline
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.head import read_head, swap_head
from reconcile.mirror.import_export.git_repos import RepositoryResult, restore_repositories
from reconcile.mirror.import_export.platform_layout import FetchResult, fetch_objects
from reconcile.mirror.local_state import StateDirectory
from reconcile.mirror.model import Writer
from reconcile.mirror.protocol import ClaimRequest, Committed, HeadVersion, build_claimed_head
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import OpenStore
from reconcile.mirror.workspace.excludes import Excludes

IMPORT_WRITER: Final = "import"


class ImportedGeneration(Struct, frozen=True):
    """What became a generation, and what could not be read.

    `missing` counts files that changed while they were read or that may not be read: the generation
    is marked partial if there are any. `skipped` counts sockets, devices, what is excluded, and
    what cannot be entered.
    """

    generation: int
    files: int
    missing: int
    skipped: int


def check_replaceable(open_store: OpenStore, *, replace: bool) -> HeadVersion | None:
    """Return HEAD of a session into which something may be imported.

    Raises:
        SettingsError: The session exists, and nobody said that it may be replaced.
    """
    found = read_head(open_store.store)
    if found is None or replace or _is_unfinished_import(found):
        return found
    head = found.head
    raise SettingsError(
        f"the session has generation {head.generation.number}, and pod "
        f"{encode_text(head.writer.name or head.writer.uid)} writes it: stop that pod, and give "
        "--replace to make what is imported its next generation"
    )


def import_directory(
    open_store: OpenStore, root: Path, excludes: Excludes, before: HeadVersion | None
) -> ImportedGeneration:
    """Claim the session and commit the directory.

    Args:
        open_store: The session.
        root: The directory.
        excludes: What is left out.
        before: HEAD as `check_replaceable` returned it: who claims after that wins.

    Raises:
        SettingsError: Somebody else has claimed the session meanwhile.
        WorkspaceError: The directory cannot be read.
        StoreError: Something could not be stored.
    """
    if not root.is_dir():
        raise WorkspaceError(f"{root} is no directory")
    writer = _claim(open_store, before)
    with tempfile.TemporaryDirectory(prefix="reconcile-mirror-") as folder:
        workspace = Workspace(root, excludes, StateDirectory(Path(folder)), writer, sys.maxsize)
        syncer = Syncer(workspace, open_store.store, open_store.pool, open_store.clock)
        outcome = syncer.run(PassOptions(Deadline(open_store.clock), is_final=True))
    if not isinstance(outcome, PassResult) or not outcome.generation.number:
        raise WorkspaceError(f"{root} is empty: there is nothing to import")
    return _summarize(outcome)


def _claim(open_store: OpenStore, before: HeadVersion | None) -> Writer:
    claimant = ClaimRequest(f"{IMPORT_WRITER}-{uuid.uuid4()}", IMPORT_WRITER)
    attempted = build_claimed_head(before, claimant, open_store.clock.time_ns())
    answer = swap_head(open_store.store, attempted, before)
    if not isinstance(answer, Committed):
        name = encode_text(answer.version.head.writer.name)
        raise SettingsError(f"pod {name} has claimed the session meanwhile: nothing was imported")
    return attempted.writer


def _is_unfinished_import(head_version: HeadVersion) -> bool:
    """Tell whether an import claimed the session and came no further."""
    head = head_version.head
    return not head.generation.number and head.writer.uid.startswith(f"{IMPORT_WRITER}-")


def _summarize(result: PassResult) -> ImportedGeneration:
    skipped = result.scan.skipped
    built = result.archive.tree_result
    return ImportedGeneration(
        result.generation.number,
        len(built.tree.entries),
        built.missing.files,
        sum(value for value in astuple(skipped) if isinstance(value, int)),
    )


class DirectoryImportSource(Struct, frozen=True):
    """A directory, which is only read."""

    root: Path


class PrefixImportSource(Struct, frozen=True):
    """The platform's layout in a bucket; `staging` is where objects become files first."""

    store: Store
    staging: Path | None


ImportSource: TypeAlias = DirectoryImportSource | PrefixImportSource


class ImportResult(Struct, frozen=True):
    """What became a generation, and what became of objects and repositories on the way."""

    imported: ImportedGeneration
    fetched: FetchResult | None = None
    repositories: tuple[RepositoryResult, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether something is not as it was."""
        lost = self.fetched is not None and (
            self.fetched.layout.refused or self.fetched.layout.renamed or self.fetched.vanished
        )
        problems = any(repository.problems for repository in self.repositories)
        return bool(lost or problems or self.imported.missing)


def import_workspace(
    open_store: OpenStore, source: ImportSource, excludes: Excludes, *, replace: bool
) -> ImportResult:
    """Import; nothing is claimed before everything is at hand.

    Raises:
        SettingsError: The session exists and may not be replaced, or the source is empty.
        WorkspaceError: A directory cannot be read or written.
        StoreError: A store could not be read or written.
    """
    before = check_replaceable(open_store, replace=replace)
    match source:
        case DirectoryImportSource(root):
            return ImportResult(import_directory(open_store, root, excludes, before))
        case PrefixImportSource(store, staging):
            with _create_staging_directory(staging) as folder:
                root = Path(folder) / "workspace"
                root.mkdir()
                fetched = fetch_objects(store, root)
                if not fetched.layout.files:
                    raise SettingsError("there is nothing below --from-prefix: is it right?")
                repositories = tuple(restore_repositories(root))
                imported = import_directory(open_store, root, excludes, before)
                return ImportResult(imported, fetched, repositories)
        case _:
            assert_never(source)


def _create_staging_directory(staging: Path | None) -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(
            prefix="reconcile-mirror-", dir=staging, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise WorkspaceError(f"--staging {staging} cannot be used: {error.strerror}") from None


def format_import_result(result: ImportResult) -> Iterable[str]:
    """Yield what people should know."""
    imported = result.imported
    yield f"generation {imported.generation}: {imported.files} entries"
    if imported.skipped:
        yield f"left out: {imported.skipped} entries that are excluded, or no files"
    if imported.missing:
        yield f"not read: {imported.missing} files, so that the generation is marked partial"
    if result.fetched is not None:
        yield from _format_objects(result.fetched)
    for repository in result.repositories:
        name = encode_text(repository.name)
        yield f"repos/{name}: {'restored' if not repository.problems else 'not all restored'}"
        for problem in repository.problems:
            yield f"  {encode_text(problem)}"


def _format_objects(fetched: FetchResult) -> Iterable[str]:
    for key, reason in fetched.layout.refused.items():
        yield f"not imported: {encode_text(key)!r} {reason}"
    for key, path in fetched.layout.renamed.items():
        yield f"renamed: {encode_text(key)!r} is {encode_text(path)!r} now"
    for key in fetched.vanished:
        yield f"not imported: {encode_text(key)!r} was deleted meanwhile"
