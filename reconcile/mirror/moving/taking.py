"""Takes a generation out, and tells what the new form cannot say."""

import sys
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from reconcile.mirror.errors import WorkspaceError
from reconcile.mirror.history.generations import choose, read_tree
from reconcile.mirror.import_export.exporter import Exported, PlainExport
from reconcile.mirror.moving.contents import Contents
from reconcile.mirror.moving.tarring import write_tar
from reconcile.mirror.snapshot.encoding import encode_text
from reconcile.mirror.store.port import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = "-"


def to_tar(store: Store, at: str, target: str) -> str:
    """Write the generation that `at` means to a file, or to standard output; says what was done.

    Raises:
        WorkspaceError: The file cannot be written; there is none then.
        SettingsError, DamagedError, StoreError: As `choose`, and where bytes cannot be read.
    """
    generation = choose(store, at)
    tree = read_tree(store, generation)
    with _output(target) as out:
        count = write_tar(tree, Contents(store, tree), out)
    return f"generation {generation.number}: {count} entries"


def to_objects(store: Store, at: str, target: Store) -> Exported:
    """Write the generation that `at` means as plain objects; raises as `PlainExport.run`."""
    tree = read_tree(store, choose(store, at))
    return PlainExport(target, tree, Contents(store, tree)).run()


def told(done: Exported) -> Iterable[str]:
    """Yield what was written, and what is lost."""
    yield f"{done.files} objects, {done.size} bytes"
    yield "lost: the times of all files, and the modes and times of all directories"
    if done.modes:
        yield f"lost: the modes of {done.modes} files that are not 0644"
    if done.copies:
        yield f"lost: that {done.copies} objects are hard links of others"
    for path in done.empty:
        yield f"lost: the empty directory {encode_text(path)}"
    for path, target in done.links.items():
        yield f"lost: the symbolic link {encode_text(path)} -> {encode_text(target)}"
    for path in done.renamed:
        yield f"renamed: the key of {encode_text(path)!r} is that text as it stands here"
    for path, reason in done.refused.items():
        yield f"not exported: {encode_text(path)}: {reason}"


@contextmanager
def _output(target: str) -> "Iterator[IO[bytes]]":
    """Open what is written to; a file gets its name only when it is whole."""
    try:
        if target == STDOUT:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
            return
        path = Path(target)
        unfinished = path.with_name(f"{path.name}.unfinished")
        try:
            with unfinished.open("wb") as out:
                yield out
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be written: {error.strerror or error}") from None
