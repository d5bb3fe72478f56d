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
from reconcile.mirror.store.config import StoreLocation


class RangeNotSatisfiableError(StoreError):
    """The range asked for begins after the object's end."""


class UnknownFunctionError(StoreError):
    """The store does not know this kind of request."""


class ErrorResponse(Struct, frozen=True):
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
    def is_auth_failure(self) -> bool:
        """Whether other keys may help."""
        return self.status in {401, 403} or self.code in {"ExpiredToken", "InvalidToken"}


class RequestContext(Struct, frozen=True):
    """What the request wanted: the right that it needs, and the key from the bucket's root on."""

    location: StoreLocation
    action: str
    key: str

    def __str__(self) -> str:
        return f"{self.action} on {self.location.bucket}/{self.key} at {self.location.endpoint}"


_ErrorFactory = Callable[[ErrorResponse, RequestContext], StoreError]


def error_of_response(response: ErrorResponse, context: RequestContext) -> StoreError:
    """Return the error of the kind that the port promises."""
    known = _BY_CODE.get(response.code)
    if known is not None:
        return known(response, context)
    if response.status in {401, 403}:
        return DeniedError(f"the store refused {context}: {_describe_response(response)}")
    if response.status == 412:  # noqa: PLR2004 - HTTP
        return PreconditionError(f"{context.key} is no longer what it was")
    if response.status == 507:  # noqa: PLR2004 - HTTP
        return _quota_exceeded(response, context)
    if response.status in {408, 429} or (response.status >= 500 and response.status != 501):  # noqa: PLR2004 - HTTP
        return _unavailable(response, context)
    return _unexpected(response, context)


def _describe_response(response: ErrorResponse) -> str:
    said = ": ".join(part for part in (response.code, response.message) if part)
    return f"HTTP {response.status}" + (f", {said}" if said else "")


def _unavailable(response: ErrorResponse, context: RequestContext) -> StoreError:
    wish = f"; it wants to be asked again in {response.retry_after:g} s"
    return StoreAwayError(
        f"the store failed at {context}: {_describe_response(response)}{wish if response.retry_after else ''}",
        response.retry_after,
    )


def _unexpected(response: ErrorResponse, context: RequestContext) -> StoreError:
    if not response.code:
        return StoreError(
            f"what answers at {context.location.endpoint} does not speak S3 (HTTP {response.status} for "
            f"{context}): check S3_ENDPOINT, and whether a proxy stands before the store"
        )
    return StoreError(f"the store refused {context}: {_describe_response(response)}")


def _no_such_key(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return MissingObjectError(f"there is no object {context.location.bucket}/{context.key}")


def _invalid_range(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return RangeNotSatisfiableError(f"the range asked for begins after the end of {context.key}")


def _no_such_bucket(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(
        f"there is no bucket {context.location.bucket} at {context.location.endpoint}: create it, or correct "
        "S3_BUCKET or S3_ENDPOINT"
    )


def _invalid_bucket_name(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(f"{context.location.bucket} is no valid name of a bucket: correct S3_BUCKET")


def _unknown_access_key(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} does not know the access key: correct S3_ACCESS_KEY "
        "(it may have been rotated or deleted)"
    )


def _signature_mismatch(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} knows the access key, but the secret key does not fit it: correct "
        "S3_SECRET_KEY (look for a newline at its end)"
    )


def _expired_token(response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} does not accept the session token (any more): "
        f"{_describe_response(response)}. Look whether the pod's token is still renewed, and at the role"
    )


def _access_denied(_response: ErrorResponse, context: RequestContext) -> StoreError:
    hint = ""
    if context.action == "s3:GetObject":
        hint = " (a missing object looks like this too, unless the key may s3:ListBucket)"
    return DeniedError(
        f"the key may not {context}{hint}: extend its policy, docs/storage.md has one to copy"
    )


def _clock_skew(response: ErrorResponse, context: RequestContext) -> StoreError:
    side = "ahead of" if response.skew > 0 else "behind"
    return StoreAwayError(
        f"the clocks of this node and of {context.location.endpoint} differ too much: this one is "
        f"{abs(response.skew):.0f} s {side} the store's. Set the node's clock (NTP); until then the "
        "store takes nothing",
        response.retry_after,
    )


def _wrong_region(response: ErrorResponse, context: RequestContext) -> StoreError:
    region = f"{response.region}" if response.region else "another region"
    return StoreError(
        f"the bucket {context.location.bucket} is in {region}, requests were made for "
        f"{context.location.region}: correct S3_REGION (or S3_ENDPOINT)"
    )


def _quota_exceeded(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(
        f"there is no room left in {context.location.bucket} at {context.location.endpoint} "
        f"({_describe_response(response)}): raise the quota, or collect garbage with `reconcile-mirror gc`"
    )


def _write_conflict(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreAwayError(f"another write to {context.key} is under way", response.retry_after)


def _bad_digest(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreAwayError(
        f"what arrived at the store is not what was sent: {_describe_response(response)} at {context}",
        response.retry_after,
    )


def _not_implemented(response: ErrorResponse, context: RequestContext) -> StoreError:
    return UnknownFunctionError(
        f"the store has no such function: {_describe_response(response)} at {context}"
    )


_BY_CODE: Mapping[str, _ErrorFactory] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion"), _no_such_key),
    "InvalidRange": _invalid_range,
    "NoSuchBucket": _no_such_bucket,
    "InvalidBucketName": _invalid_bucket_name,
    **dict.fromkeys(("InvalidAccessKeyId", "InvalidClientTokenId"), _unknown_access_key),
    "SignatureDoesNotMatch": _signature_mismatch,
    **dict.fromkeys(("ExpiredToken", "InvalidToken", "TokenRefreshRequired"), _expired_token),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled"), _access_denied),
    "RequestTimeTooSkewed": _clock_skew,
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
        _quota_exceeded,
    ),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted"), _write_conflict),
    **dict.fromkeys(
        ("BadDigest", "XAmzContentSHA256Mismatch", "InvalidDigest", "IncompleteBody"), _bad_digest
    ),
    **dict.fromkeys(
        ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable"), _unavailable
    ),
    **dict.fromkeys(("NotImplemented", "MethodNotAllowed"), _not_implemented),
}


def error_of_exception(error: Exception, context: RequestContext) -> StoreError:
    """Return the error of the kind that the port promises.

    Args:
        error: One of urllib3's.
        context: What the request wanted.
    """
    if isinstance(error, broken.SSLError):
        return _tls_error(error, context)
    return StoreAwayError(_describe_exception(error, context))


def _describe_exception(error: Exception, context: RequestContext) -> str:
    where, patience = context.location.endpoint, context.location.timeouts
    match error:
        case broken.ProxyError():
            return f"the proxy {context.location.proxy} does not answer: {_describe_cause(error)}"
        case broken.NameResolutionError():
            return (
                f"the name of {where} cannot be resolved: correct S3_ENDPOINT, or look at the "
                "cluster's DNS and the pod's network policy"
            )
        case broken.NewConnectionError():
            return f"nobody answers at {where}: {_describe_cause(error)}"
        case broken.ConnectTimeoutError():
            return (
                f"no connection to {where} within {patience.connect:g} s: look at the pod's "
                "network policy and whether the store runs"
            )
        case broken.ReadTimeoutError():
            return f"{where} said nothing for {patience.read:g} s at {context}"
        case _:
            return f"the connection broke at {context}: {_describe_cause(error)}"


def _tls_error(error: broken.SSLError, context: RequestContext) -> StoreError:
    text, endpoint = str(error), context.location.endpoint
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = next((part.verify_message for part in _certificates(error)), "it does not fit")
        authority = context.location.ca_file or "the public authorities"
        return StoreError(
            f"the certificate of {endpoint} is not trusted ({reason}): it was checked against "
            f"{authority}; give the file of the authority that signed it"
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return StoreError(f"{endpoint} does not speak TLS: write http:// if that is intended")
    return StoreAwayError(
        f"the encrypted connection to {endpoint} failed: {_describe_cause(error)}"
    )


def _certificates(error: BaseException) -> list[ssl.SSLCertVerificationError]:
    found = [*error.args, error.__cause__, error.__context__]
    return [part for part in found if isinstance(part, ssl.SSLCertVerificationError)]


def _describe_cause(error: Exception) -> str:
    """The system's words, without urllib3's addresses of objects."""
    for part in (*error.args, error.__cause__, error.__context__):
        if isinstance(part, OSError) and part.strerror:
            return part.strerror
    return type(error).__name__ if not error.args else str(error.args[0]).rpartition(": ")[2]
