"""What can go wrong with a mirror, as types; every message says what to do."""


class MirrorError(Exception):
    """The root: whatever is not one of these is a defect of the program."""


class StoreError(MirrorError):
    """The store refused or failed a request, and trying again will not help."""


class MissingObjectError(StoreError):
    """The store says clearly that there is no such object."""


class DeniedError(StoreError):
    """The store does not accept the key, or the key may not do this."""


class PreconditionError(StoreError):
    """A conditional write was refused: the object is no longer what it was."""


class StoreAwayError(StoreError):
    """The store did not answer, is overloaded or failed; it may work again later.

    `retry_after` is in seconds, 0 where the server wished nothing.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FencedError(MirrorError):
    """Another writer has claimed the workspace: this one must never write again."""


class DamagedError(MirrorError):
    """An object is not what its digest says, cannot be read, or is missing though it is needed."""


class UnknownFormatError(MirrorError):
    """The snapshot was written by a newer version, whose format this one does not know."""


class WorkspaceError(MirrorError):
    """The workspace could not be read or written: a full disk, a right that is missing."""


class SettingsError(MirrorError):
    """A setting or credential is missing or makes no sense."""


class MarkError(MirrorError):
    """There is no mark that hydrate has restored this very workspace completely."""


class PartialError(MirrorError):
    """The last generation lacks files, and the policy is not to go on from such a one."""
