"""Imports a directory or a prefix in the platform's layout as the next generation of a session.

No pod may use the session meanwhile: the import claims it as a pod does.
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
    """The new generation, its entries, and what could not be read.

    `missing` counts files that changed while they were read or that cannot be read: the generation
    is marked partial if there are any. `skipped` counts sockets, devices, excluded entries, and
    directories that cannot be read.
    """

    generation: int
    files: int
    missing: int
    skipped: int


def check_replaceable(open_store: OpenStore, *, replace: bool) -> HeadVersion | None:
    """Return HEAD of the session, None if it is new, after a check that an import is allowed.

    Raises:
        SettingsError: The session exists, and `replace` is false.
    """
    version = read_head(open_store.store)
    if version is None or replace or _is_unfinished_import(version):
        return version
    head = version.head
    raise SettingsError(
        f"the session has generation {head.generation.number}, and pod "
        f"{encode_text(head.writer.name or head.writer.uid)} writes it: stop that pod, and give "
        "--replace to import as its next generation"
    )


def import_directory(
    open_store: OpenStore, root: Path, excludes: Excludes, before: HeadVersion | None
) -> ImportedGeneration:
    """Claim the session and commit the directory.

    Args:
        open_store: The session.
        root: The directory.
        excludes: The patterns of paths to leave out.
        before: HEAD as `check_replaceable` returned it; the claim fails if it has changed since.

    Raises:
        SettingsError: A pod has claimed the session meanwhile.
        WorkspaceError: The directory cannot be read.
        StoreError: The store could not be read or written.
    """
    if not root.is_dir():
        raise WorkspaceError(f"{root} is not a directory")
    writer = _claim(open_store, before)
    with tempfile.TemporaryDirectory(prefix="reconcile-mirror-") as folder:
        workspace = Workspace(root, excludes, StateDirectory(Path(folder)), writer, sys.maxsize)
        syncer = Syncer(workspace, open_store.store, open_store.pool, open_store.clock)
        outcome = syncer.run(PassOptions(Deadline(open_store.clock), is_final=True))
    if not isinstance(outcome, PassResult) or not outcome.generation.number:
        raise WorkspaceError(f"{root} is empty: there is nothing to import")
    return _summarize(outcome)


def _claim(open_store: OpenStore, before: HeadVersion | None) -> Writer:
    request = ClaimRequest(f"{IMPORT_WRITER}-{uuid.uuid4()}", IMPORT_WRITER)
    attempted = build_claimed_head(before, request, open_store.clock.time_ns())
    result = swap_head(open_store.store, attempted, before)
    if not isinstance(result, Committed):
        name = encode_text(result.version.head.writer.name)
        raise SettingsError(f"pod {name} has claimed the session meanwhile: nothing was imported")
    return attempted.writer


def _is_unfinished_import(head_version: HeadVersion) -> bool:
    """Whether an import claimed the session and did not commit."""
    head = head_version.head
    return not head.generation.number and head.writer.uid.startswith(f"{IMPORT_WRITER}-")


def _summarize(result: PassResult) -> ImportedGeneration:
    skipped = result.scan.skipped
    tree_result = result.archive.tree_result
    return ImportedGeneration(
        result.generation.number,
        len(tree_result.tree.entries),
        tree_result.missing.files,
        sum(value for value in astuple(skipped) if isinstance(value, int)),
    )


class DirectoryImportSource(Struct, frozen=True):
    """A directory, which is only read."""

    root: Path


class PrefixImportSource(Struct, frozen=True):
    """A prefix in the platform's layout; objects are downloaded to a directory in `staging`."""

    store: Store
    staging: Path | None


ImportSource: TypeAlias = DirectoryImportSource | PrefixImportSource


class ImportResult(Struct, frozen=True):
    """The new generation, and for a prefix what was fetched and which repositories restored."""

    imported: ImportedGeneration
    fetched: FetchResult | None = None
    repositories: tuple[RepositoryResult, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether something was not imported, or not unchanged."""
        lost = self.fetched is not None and (
            self.fetched.layout.refused or self.fetched.layout.renamed or self.fetched.vanished
        )
        problems = any(repository.problems for repository in self.repositories)
        return bool(lost or problems or self.imported.missing)


def import_workspace(
    open_store: OpenStore, source: ImportSource, excludes: Excludes, *, replace: bool
) -> ImportResult:
    """Import a source; the session is claimed only after everything was downloaded.

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
            with _create_staging_directory(staging) as directory:
                root = Path(directory) / "workspace"
                root.mkdir()
                fetched = fetch_objects(store, root)
                if not fetched.layout.files:
                    raise SettingsError("there are no files below --from-prefix: check the prefix")
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
    """Yield the lines that report an import."""
    imported = result.imported
    yield f"generation {imported.generation}: {imported.files} entries"
    if imported.skipped:
        yield f"left out: {imported.skipped} entries that are excluded or special files"
    if imported.missing:
        yield f"not read: {imported.missing} files, so the generation is marked partial"
    if result.fetched is not None:
        yield from _format_objects(result.fetched)
    for repository in result.repositories:
        name = encode_text(repository.name)
        yield f"repos/{name}: {'not completely restored' if repository.problems else 'restored'}"
        for problem in repository.problems:
            yield f"  {encode_text(problem)}"


def _format_objects(fetched: FetchResult) -> Iterable[str]:
    for key, reason in fetched.layout.refused.items():
        yield f"not imported: {encode_text(key)!r} {reason}"
    for key, path in fetched.layout.renamed.items():
        yield f"renamed: {encode_text(key)!r} to {encode_text(path)!r}"
    for key in fetched.vanished:
        yield f"not imported: {encode_text(key)!r} was deleted meanwhile"
