"""The exit codes; `docs/mirror.md` has the same table, and a test compares the two."""

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


class MirrorExitCode(IntEnum):
    """The exit code of the program."""

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
    IO_ERROR = 74
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS = {
    MirrorExitCode.OK: "done; for `sync`: everything is stored",
    MirrorExitCode.USAGE: "the command line is wrong",
    MirrorExitCode.SETTINGS: "a setting or credential is missing or malformed",
    MirrorExitCode.STORE: "the store refused a request, or did not answer in time",
    MirrorExitCode.SNAPSHOT: "the snapshot is damaged, of a newer version, or partial and refused",
    MirrorExitCode.FENCED: "another pod has taken the workspace over: nothing more was written",
    MirrorExitCode.WORKSPACE: "the workspace or the state directory is unusable, or has no mark",
    MirrorExitCode.LOST: "`sync` only: not all is stored: out of time, or a file is unreadable",
    MirrorExitCode.DAMAGED: "`verify`, `log`: damage was found and reported",
    MirrorExitCode.INCOMPLETE: "`import`, `export`: done, except for what was reported",
    MirrorExitCode.BUG: "a defect of the program: please report it",
    MirrorExitCode.IO_ERROR: "the output, or a file that is needed, cannot be written or read",
    MirrorExitCode.INTERRUPTED: "ended by Ctrl-C",
    MirrorExitCode.TERMINATED: "`hydrate` only: ended by SIGTERM; the next start begins again",
}


def exit_code_for_mirror_error(error: MirrorError) -> MirrorExitCode:
    """Return the exit code for an error that ends the program."""
    match error:
        case SettingsError():
            return MirrorExitCode.SETTINGS
        case FencedError():
            return MirrorExitCode.FENCED
        case DamagedError() | UnknownFormatError() | PartialError():
            return MirrorExitCode.SNAPSHOT
        case StoreError():
            return MirrorExitCode.STORE
        case MarkError() | WorkspaceError():
            return MirrorExitCode.WORKSPACE
        case _:
            return MirrorExitCode.BUG


def exit_code_for_flush(outcome: str) -> MirrorExitCode:
    """Return the exit code for the outcome of the last flush."""
    match outcome:
        case "flushed":
            return MirrorExitCode.OK
        case "fenced":
            return MirrorExitCode.FENCED
        case _:
            return MirrorExitCode.LOST
