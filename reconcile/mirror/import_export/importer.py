"""Brings a workspace in from where it was kept before, and tells what became of it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias, assert_never

from msgspec import Struct

from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.import_export.git_repos import Repository, restore_all
from reconcile.mirror.moving.fetching import Fetched, fetch
from reconcile.mirror.moving.importing import Imported, check_free, import_directory
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.store.port import Store
from reconcile.mirror.wiring import Opened
from reconcile.mirror.workspace.excludes import Excludes


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
