"""The one table of exit codes; `docs/mirror.md` has the same, and a test compares them."""

from enum import IntEnum

from reconcile.mirror.errors import (
    DamagedError,
    FencedError,
    MarkError,
    MirrorError,
    PartialError,
    SettingsError,
    StoreError,
    UnknownFormatError,
    WorkspaceError,
)


class Exit(IntEnum):
    """What the program says to its caller when it ends."""

    OK = 0
    USAGE = 2
    SETTINGS = 3
    STORE = 4
    SNAPSHOT = 5
    FENCED = 6
    WORKSPACE = 7
    LOST = 8
    DAMAGED = 9
    INCOMPLETE = 10
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    Exit.OK: "done; for `sync`: everything is stored",
    Exit.USAGE: "the command line is wrong",
    Exit.SETTINGS: "a setting or credential is missing or makes no sense",
    Exit.STORE: "the store refused, or did not answer for as long as was asked",
    Exit.SNAPSHOT: "the snapshot is damaged, partial though that is refused, or of a newer version",
    Exit.FENCED: "another pod has taken the workspace over: nothing was written any more",
    Exit.WORKSPACE: "the workspace or the state directory cannot be used, or has no mark",
    Exit.LOST: "`sync` only: the deadline came before everything was stored",
    Exit.DAMAGED: "`verify`, `log`: something is damaged, and was told",
    Exit.INCOMPLETE: "`import`, `export`: done, but for what was told",
    Exit.BUG: "a defect of the program: please report it",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.TERMINATED: "`hydrate` only: ended by SIGTERM; the next start begins again",
}


def exit_for(error: MirrorError) -> Exit:
    """Map an error that ends the program."""
    match error:
        case SettingsError():
            return Exit.SETTINGS
        case FencedError():
            return Exit.FENCED
        case DamagedError() | UnknownFormatError() | PartialError():
            return Exit.SNAPSHOT
        case StoreError():
            return Exit.STORE
        case MarkError() | WorkspaceError():
            return Exit.WORKSPACE
        case _:
            return Exit.BUG


def exit_of_farewell(outcome: str) -> Exit:
    """Map how the last flush went."""
    match outcome:
        case "flushed":
            return Exit.OK
        case "fenced":
            return Exit.FENCED
        case _:
            return Exit.LOST
