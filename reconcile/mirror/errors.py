"""The errors of the mirror; every message says what to do."""


class MirrorError(Exception):
    """The base class; any other error is a defect of the program.

    `is_final` says that the request was already retried, so that nothing retries it once more.
    """

    is_final: bool = False


class StoreError(MirrorError):
    """The store refused or failed a request, and a retry will not help."""


class MissingObjectError(StoreError):
    """The store says clearly that there is no such object."""


class DeniedError(StoreError):
    """The store does not accept the key, or the key may not do this."""


class PreconditionError(StoreError):
    """A conditional write was refused: the object has changed."""


class StoreAwayError(StoreError):
    """The store did not answer, is overloaded or failed; it may work again later.

    `retry_after` is the delay in seconds that the server asks for, 0 for none.
    """

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnsupportedRequestError(StoreError):
    """The store does not implement this request."""


class UnexpectedResponseError(StoreError):
    """The response does not come from S3, or is not the response to this request."""


class FencedError(MirrorError):
    """Another writer has claimed the workspace: this one must never write again."""


class DamagedError(MirrorError):
    """An object does not match its digest, cannot be decoded, or is missing though it is needed."""


class UnknownFormatError(MirrorError):
    """The snapshot was written by a newer version in a format that this version does not know."""


class WorkspaceError(MirrorError):
    """The workspace could not be read or written: a full disk, a missing permission."""


class SettingsError(MirrorError):
    """A setting or credential is missing or malformed."""


class MarkError(MirrorError):
    """The hydrate marker is missing, damaged, or of another volume."""


class PartialError(MirrorError):
    """The last generation lacks files, and the policy refuses that."""
