"""Finds files that belong together: a database with its journal or log, under any name.

A snapshot has all files of a group from one moment, or all as they were in the last generation,
including those that have been deleted since then. SQLite and DuckDB append a suffix to the name of
the database, whatever that is. Pure.
"""

import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from reconcile.mirror.model import Entry, HardLink
from reconcile.mirror.workspace.walk import FileStat

WAL: Final = "-wal"
JOURNAL: Final = "-journal"
COMPANION_SUFFIXES: Final = (WAL, JOURNAL, ".wal")
"""Suffixes of logs that are needed to read the file without the suffix; `.wal` is DuckDB's."""

_SUPER_JOURNAL = re.compile(r"(.+)-mj[0-9A-F]{9}", re.DOTALL)
"""SQLite's journal of a transaction over several databases, named after one of them."""


class FileGroup(Struct, frozen=True):
    """Files that are stored together or not at all.

    Attributes:
        members: Those that the scan saw, in the order of paths; of hard links all names.
        paths: All their paths, and those of members that only the last generation has.
    """

    members: tuple[FileStat, ...]
    paths: frozenset[str]


def main_path(path: str) -> str | None:
    """Return the file that a journal or log belongs to, by its name; None for another file."""
    for suffix in COMPANION_SUFFIXES:
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    if path[-12:-9] != "-mj":
        return None
    found = _SUPER_JOURNAL.fullmatch(path)
    return found[1] if found else None


def find_groups(stats: Sequence[FileStat], previous: Mapping[str, Entry]) -> list[FileGroup]:
    """Return the groups of a scan and the previous tree, in the order of their first member."""
    companions = {*_iter_companions(stat.path for stat in stats), *_iter_companions(previous)}
    if not companions:
        return []
    files = {each.path: each for each in stats if stat.S_ISREG(each.mode)}
    sets = _DisjointSets()
    for path in companions:
        main = main_path(path)
        if main is not None and (main in files or main in previous):
            sets.join(main, path)
    _join_super_journals(sets, companions)
    _join_hard_links(sets, files, previous)
    groups = [
        FileGroup(tuple(files[path] for path in sorted(paths) if path in files), frozenset(paths))
        for paths in sets.result()
    ]
    return sorted((group for group in groups if group.members), key=lambda each: min(each.paths))


def _iter_companions(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if path.endswith(COMPANION_SUFFIXES) or path[-12:-9] == "-mj":
            yield path


class _DisjointSets:
    def __init__(self) -> None:
        self.sets: dict[str, set[str]] = {}

    def join(self, one: str, other: str) -> None:
        first, second = self.sets.get(one, {one}), self.sets.get(other, {other})
        if first is not second:
            first |= second
            for path in first:
                self.sets[path] = first

    def result(self) -> list[set[str]]:
        return list({id(each): each for each in self.sets.values()}.values())


def _join_super_journals(sets: _DisjointSets, companions: Collection[str]) -> None:
    """Join all journals where there is a super-journal: they name it, wherever it is."""
    supers = [path for path in companions if path[-12:-9] == "-mj" and path in sets.sets]
    if supers:
        for path in companions:
            if path in sets.sets and (path.endswith(JOURNAL) or path in supers):
                sets.join(supers[0], path)


def _join_hard_links(
    sets: _DisjointSets, files: Mapping[str, FileStat], previous: Mapping[str, Entry]
) -> None:
    """Add the other names of each member."""
    names: dict[tuple[int, int], str] = {}
    for path in sets.sets:
        file = files.get(path)
        if file is not None and file.links > 1:
            names[file.device, file.inode] = path
    if names:
        for path, file in files.items():
            if (file.device, file.inode) in names:
                sets.join(names[file.device, file.inode], path)
    for path, entry in previous.items():
        if isinstance(entry, HardLink) and (path in sets.sets or entry.target in sets.sets):
            sets.join(entry.target, path)
