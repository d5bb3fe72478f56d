"""What a refusal of the store means, as an error whose message a person can act on. Pure.

What a request without an answer means, as an error whose message a person can act on.
"""

import ssl
from collections.abc import Callable, Mapping

from msgspec import Struct
from urllib3 import exceptions as broken

from reconcile.mirror.errors import (
    DeniedError,
    MissingObjectError,
    PreconditionError,
    StoreAwayError,
    StoreError,
)
from reconcile.mirror.store.config import Location


class BeyondError(StoreError):
    """The range asked for begins after the object's end."""


class UnknownFunctionError(StoreError):
    """The store does not know this kind of request."""


class Refusal(Struct, frozen=True):
    """An answer that is no success.

    Attributes:
        status: The HTTP status.
        code: S3's name of the error; empty where the answer is not S3's.
        message: The server's own words.
        region: Where the bucket is, if the server said it.
        retry_after: Seconds that the server wishes for, or 0.
        skew: How many seconds this machine's clock is ahead of the server's.
    """

    status: int
    code: str
    message: str
    region: str = ""
    retry_after: float = 0.0
    skew: float = 0.0

    @property
    def is_about_keys(self) -> bool:
        """Whether other keys may help."""
        return self.status in {401, 403} or self.code in {"ExpiredToken", "InvalidToken"}


class Asked(Struct, frozen=True):
    """What the request wanted: the right that it needs, and the key from the bucket's root on."""

    where: Location
    action: str
    key: str

    def __str__(self) -> str:
        return f"{self.action} on {self.where.bucket}/{self.key} at {self.where.endpoint}"


_Wording = Callable[[Refusal, Asked], StoreError]


def error_of_response(refusal: Refusal, asked: Asked) -> StoreError:
    """Return the error of the kind that the port promises."""
    known = _BY_CODE.get(refusal.code)
    if known is not None:
        return known(refusal, asked)
    if refusal.status in {401, 403}:
        return DeniedError(f"the store refused {asked}: {_words(refusal)}")
    if refusal.status == 412:  # noqa: PLR2004 - HTTP
        return PreconditionError(f"{asked.key} is no longer what it was")
    if refusal.status == 507:  # noqa: PLR2004 - HTTP
        return _full(refusal, asked)
    if refusal.status in {408, 429} or (refusal.status >= 500 and refusal.status != 501):  # noqa: PLR2004 - HTTP
        return _away(refusal, asked)
    return _other(refusal, asked)


def _words(refusal: Refusal) -> str:
    said = ": ".join(part for part in (refusal.code, refusal.message) if part)
    return f"HTTP {refusal.status}" + (f", {said}" if said else "")


def _away(refusal: Refusal, asked: Asked) -> StoreError:
    wish = f"; it wants to be asked again in {refusal.retry_after:g} s"
    return StoreAwayError(
        f"the store failed at {asked}: {_words(refusal)}{wish if refusal.retry_after else ''}",
        refusal.retry_after,
    )


def _other(refusal: Refusal, asked: Asked) -> StoreError:
    if not refusal.code:
        return StoreError(
            f"what answers at {asked.where.endpoint} does not speak S3 (HTTP {refusal.status} for "
            f"{asked}): check S3_ENDPOINT, and whether a proxy stands before the store"
        )
    return StoreError(f"the store refused {asked}: {_words(refusal)}")


def _missing(_refusal: Refusal, asked: Asked) -> StoreError:
    return MissingObjectError(f"there is no object {asked.where.bucket}/{asked.key}")


def _beyond(_refusal: Refusal, asked: Asked) -> StoreError:
    return BeyondError(f"the range asked for begins after the end of {asked.key}")


def _no_bucket(_refusal: Refusal, asked: Asked) -> StoreError:
    return StoreError(
        f"there is no bucket {asked.where.bucket} at {asked.where.endpoint}: create it, or correct "
        "S3_BUCKET or S3_ENDPOINT"
    )


def _bad_bucket(_refusal: Refusal, asked: Asked) -> StoreError:
    return StoreError(f"{asked.where.bucket} is no valid name of a bucket: correct S3_BUCKET")


def _wrong_key(_refusal: Refusal, asked: Asked) -> StoreError:
    return DeniedError(
        f"{asked.where.endpoint} does not know the access key: correct S3_ACCESS_KEY "
        "(it may have been rotated or deleted)"
    )


def _wrong_secret(_refusal: Refusal, asked: Asked) -> StoreError:
    return DeniedError(
        f"{asked.where.endpoint} knows the access key, but the secret key does not fit it: correct "
        "S3_SECRET_KEY (look for a newline at its end)"
    )


def _expired(refusal: Refusal, asked: Asked) -> StoreError:
    return DeniedError(
        f"{asked.where.endpoint} does not accept the session token (any more): "
        f"{_words(refusal)}. Look whether the pod's token is still renewed, and at the role"
    )


def _no_right(_refusal: Refusal, asked: Asked) -> StoreError:
    hint = ""
    if asked.action == "s3:GetObject":
        hint = " (a missing object looks like this too, unless the key may s3:ListBucket)"
    return DeniedError(
        f"the key may not {asked}{hint}: extend its policy, docs/storage.md has one to copy"
    )


def _skewed(refusal: Refusal, asked: Asked) -> StoreError:
    side = "ahead of" if refusal.skew > 0 else "behind"
    return StoreAwayError(
        f"the clocks of this node and of {asked.where.endpoint} differ too much: this one is "
        f"{abs(refusal.skew):.0f} s {side} the store's. Set the node's clock (NTP); until then the "
        "store takes nothing",
        refusal.retry_after,
    )


def _wrong_region(refusal: Refusal, asked: Asked) -> StoreError:
    region = f"{refusal.region}" if refusal.region else "another region"
    return StoreError(
        f"the bucket {asked.where.bucket} is in {region}, requests were made for "
        f"{asked.where.region}: correct S3_REGION (or S3_ENDPOINT)"
    )


def _full(refusal: Refusal, asked: Asked) -> StoreError:
    return StoreError(
        f"there is no room left in {asked.where.bucket} at {asked.where.endpoint} "
        f"({_words(refusal)}): raise the quota, or collect garbage with `reconcile-mirror gc`"
    )


def _busy(refusal: Refusal, asked: Asked) -> StoreError:
    return StoreAwayError(f"another write to {asked.key} is under way", refusal.retry_after)


def _changed(refusal: Refusal, asked: Asked) -> StoreError:
    return StoreAwayError(
        f"what arrived at the store is not what was sent: {_words(refusal)} at {asked}",
        refusal.retry_after,
    )


def _unknown(refusal: Refusal, asked: Asked) -> StoreError:
    return UnknownFunctionError(f"the store has no such function: {_words(refusal)} at {asked}")


_BY_CODE: Mapping[str, _Wording] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion"), _missing),
    "InvalidRange": _beyond,
    "NoSuchBucket": _no_bucket,
    "InvalidBucketName": _bad_bucket,
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId"), _wrong_key),
    "SignatureDoesNotMatch": _wrong_secret,
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _expired),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled"), _no_right),
    "RequestTimeTooSkewed": _skewed,
    **dict.fromkeys(
        (
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "TemporaryRedirect",
            "IllegalLocationConstraintException",
            "InvalidRegion",
        ),
        _wrong_region,
    ),
    **dict.fromkeys(
        (
            "QuotaExceeded",
            "XMinioAdminBucketQuotaExceeded",
            "XMinioStorageFull",
            "InsufficientCapacity",
        ),
        _full,
    ),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted"), _busy),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody"), _changed
    ),
    **dict.fromkeys(("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"), _away),
    **dict.fromkeys(("NotImplemented", "MethodNotAllowed"), _unknown),
}


def error_of_exception(error: Exception, asked: Asked) -> StoreError:
    """Return the error of the kind that the port promises.

    Args:
        error: One of urllib3's.
        asked: What the request wanted.
    """
    if isinstance(error, broken.SSLError):
        return _tls(error, asked)
    return StoreAwayError(_exception_words(error, asked))


def _exception_words(error: Exception, asked: Asked) -> str:
    where, patience = asked.where.endpoint, asked.where.patience
    match error:
        case broken.ProxyError():
            return f"the proxy {asked.where.proxy} does not answer: {_cause(error)}"
        case broken.NameResolutionError():
            return (
                f"the name of {where} cannot be resolved: correct S3_ENDPOINT, or look at the "
                "cluster's DNS and the pod's network policy"
            )
        case broken.NewConnectionError():
            return f"nobody answers at {where}: {_cause(error)}"
        case broken.ConnectTimeoutError():
            return (
                f"no connection to {where} within {patience.connect:g} s: look at the pod's "
                "network policy and whether the store runs"
            )
        case broken.ReadTimeoutError():
            return f"{where} said nothing for {patience.read:g} s at {asked}"
        case _:
            return f"the connection broke at {asked}: {_cause(error)}"


def _tls(error: broken.SSLError, asked: Asked) -> StoreError:
    text, endpoint = str(error), asked.where.endpoint
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = next((part.verify_message for part in _certificates(error)), "it does not fit")
        authority = asked.where.ca_file or "the public authorities"
        return StoreError(
            f"the certificate of {endpoint} is not trusted ({reason}): it was checked against "
            f"{authority}; give the file of the authority that signed it"
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return StoreError(f"{endpoint} does not speak TLS: write http:// if that is intended")
    return StoreAwayError(f"the encrypted connection to {endpoint} failed: {_cause(error)}")


def _certificates(error: BaseException) -> list[ssl.SSLCertVerificationError]:
    found = [*error.args, error.__cause__, error.__context__]
    return [part for part in found if isinstance(part, ssl.SSLCertVerificationError)]


def _cause(error: Exception) -> str:
    """The system's words, without urllib3's addresses of objects."""
    for part in (*error.args, error.__cause__, error.__context__):
        if isinstance(part, OSError) and part.strerror:
            return part.strerror
    return type(error).__name__ if not error.args else str(error.args[0]).rpartition(": ")[2]
