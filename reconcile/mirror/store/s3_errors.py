"""Errors of requests: what a refusal or a failed connection means, and what to do. Pure."""

import re
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
    UnexpectedResponseError,
    UnsupportedRequestError,
)
from reconcile.mirror.store.config import StoreLocation
from reconcile.mirror.store.redaction import redact


class RangeNotSatisfiableError(StoreError):
    """The requested range begins after the end of the object."""


class ChecksumRequiredError(StoreError):
    """The store accepts no write without a checksum: the bucket has a default retention."""


class ErrorResponse(Struct, frozen=True):
    """A response with an error.

    Attributes:
        status: The HTTP status.
        code: Error code of S3; empty if the response is not from S3.
        message: Message of the server.
        region: Region of the bucket, if the server named it.
        retry_after: Delay in seconds that the server requested, or 0.
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
        """Whether other keys may succeed."""
        return self.status in {401, 403} or self.code in {"ExpiredToken", "InvalidToken"}


class RequestContext(Struct, frozen=True):
    """A request for error messages: the permission that it needs, and the complete key."""

    location: StoreLocation
    action: str
    key: str

    def __str__(self) -> str:
        return f"{self.action} on {self.location.bucket}/{self.key} at {self.location.endpoint}"


_ErrorFactory = Callable[[ErrorResponse, RequestContext], StoreError]


def error_of_response(response: ErrorResponse, context: RequestContext) -> StoreError:
    """Return the error that `Store` specifies for a response."""
    factory = _BY_CODE.get(response.code)
    if factory is not None:
        return factory(response, context)
    if response.status in {401, 403}:
        return DeniedError(f"the store refused {context}: {_describe_response(response)}")
    if response.status == 412:  # noqa: PLR2004 - HTTP
        return PreconditionError(f"{context.key} has changed")
    if response.status == 507:  # noqa: PLR2004 - HTTP
        return _quota_exceeded(response, context)
    if response.status in {408, 429} or (response.status >= 500 and response.status != 501):  # noqa: PLR2004 - HTTP
        return _unavailable(response, context)
    return _unexpected(response, context)


def _describe_response(response: ErrorResponse) -> str:
    details = ": ".join(part for part in (response.code, response.message) if part)
    return f"HTTP {response.status}" + (f", {details}" if details else "")


def _unavailable(response: ErrorResponse, context: RequestContext) -> StoreError:
    delay = (
        f"; it requests a retry after {response.retry_after:g} s" if response.retry_after else ""
    )
    return StoreAwayError(
        f"the store failed at {context}: {_describe_response(response)}{delay}",
        response.retry_after,
    )


def _unexpected(response: ErrorResponse, context: RequestContext) -> StoreError:
    if not response.code:
        return UnexpectedResponseError(
            f"the server at {context.location.endpoint} does not speak S3 (HTTP {response.status} "
            f"for {context}): check S3_ENDPOINT, and whether a proxy answers instead of the store"
        )
    return StoreError(f"the store refused {context}: {_describe_response(response)}")


def _temporary_redirect(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreAwayError(
        f"{context.location.endpoint} redirects {context} to another host for a while, which is "
        "not followed, since it may belong to others. If this stays so, correct S3_ENDPOINT",
        response.retry_after,
    )


def _invalid_request(response: ErrorResponse, context: RequestContext) -> StoreError:
    if re.search("content-md5|x-amz-checksum", response.message.lower()):
        return _checksum_required(response, context)
    return _unexpected(response, context)


def _checksum_required(response: ErrorResponse, context: RequestContext) -> StoreError:
    return ChecksumRequiredError(f"the store refused {context}: {_describe_response(response)}")


def _no_such_key(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return MissingObjectError(f"the object {context.location.bucket}/{context.key} does not exist")


def _invalid_range(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return RangeNotSatisfiableError(f"the requested range begins after the end of {context.key}")


def _no_such_bucket(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(
        f"there is no bucket {context.location.bucket} at {context.location.endpoint}: create it, "
        "or correct S3_BUCKET or S3_ENDPOINT"
    )


def _invalid_bucket_name(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(f"{context.location.bucket} is not a valid bucket name: correct S3_BUCKET")


def _unknown_access_key(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} does not know the access key: correct S3_ACCESS_KEY "
        "(it may have been rotated or deleted)"
    )


def _signature_mismatch(_response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} knows the access key, but the secret key does not match it: "
        "correct S3_SECRET_KEY"
    )


def _expired_token(response: ErrorResponse, context: RequestContext) -> StoreError:
    return DeniedError(
        f"{context.location.endpoint} does not accept the session token, or no longer: "
        f"{_describe_response(response)}. Check that the pod's token is still renewed, and the role"
    )


def _access_denied(_response: ErrorResponse, context: RequestContext) -> StoreError:
    hint = ""
    if context.action == "s3:GetObject":
        hint = " (or it does not exist: the answer is the same without s3:ListBucket)"
    return DeniedError(f"the key may not {context}{hint}: extend its policy as in docs/storage.md")


def _clock_skew(response: ErrorResponse, context: RequestContext) -> StoreError:
    side = "ahead of" if response.skew > 0 else "behind"
    return StoreAwayError(
        f"the clocks of this node and of {context.location.endpoint} differ too much: this one is "
        f"{abs(response.skew):.0f} s {side} the store's. Set the node's clock (NTP); until then "
        "the store refuses all requests",
        response.retry_after,
    )


def _wrong_region(response: ErrorResponse, context: RequestContext) -> StoreError:
    region = response.region or "another region"
    return StoreError(
        f"the bucket {context.location.bucket} is in {region}, but the request was signed for "
        f"{context.location.region}: correct S3_REGION (or S3_ENDPOINT)"
    )


def _quota_exceeded(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreError(
        f"there is no space left in {context.location.bucket} at {context.location.endpoint} "
        f"({_describe_response(response)}): raise the quota, or run `reconcile-mirror gc`"
    )


def _write_conflict(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreAwayError(f"another write to {context.key} is in progress", response.retry_after)


def _bad_digest(response: ErrorResponse, context: RequestContext) -> StoreError:
    return StoreAwayError(
        f"the store received other bytes than were sent: {_describe_response(response)} at "
        f"{context}",
        response.retry_after,
    )


def _not_implemented(response: ErrorResponse, context: RequestContext) -> StoreError:
    return UnsupportedRequestError(
        f"the store does not implement {context}: {_describe_response(response)}"
    )


_BY_CODE: Mapping[str, _ErrorFactory] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchVersion"), _no_such_key),
    "InvalidRange": _invalid_range,
    "InvalidRequest": _invalid_request,
    "MissingContentMD5": _checksum_required,
    **dict.fromkeys(("TemporaryRedirect", "Redirect"), _temporary_redirect),
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
        (
            "BadDigest",
            "IncompleteBody",
            "InvalidDigest",
            "XAmzContentChecksumMismatch",
            "XAmzContentSHA256Mismatch",
        ),
        _bad_digest,
    ),
    **dict.fromkeys(
        (
            "InternalError",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestTimeout",
            "ServiceUnavailable",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
        ),
        _unavailable,
    ),
    **dict.fromkeys(("NotImplemented", "MethodNotAllowed"), _not_implemented),
}


def error_of_exception(error: Exception, context: RequestContext) -> StoreError:
    """Return the error that `Store` specifies for a failed connection.

    Args:
        error: An exception of urllib3.
        context: The request that failed.
    """
    if isinstance(error, broken.SSLError):
        return _tls_error(error, context)
    return StoreAwayError(_describe_exception(error, context))


def _describe_exception(error: Exception, context: RequestContext) -> str:
    where, timeouts = context.location.endpoint, context.location.timeouts
    match error:
        case broken.ProxyError():
            reason = redact(_describe_cause(error), context.location.proxy.secrets())
            return f"the proxy {context.location.proxy.url} does not answer: {reason}"
        case broken.NameResolutionError():
            return (
                f"the name of {where} cannot be resolved: correct S3_ENDPOINT, or check the "
                "cluster's DNS and the pod's network policy"
            )
        case broken.NewConnectionError():
            return f"cannot connect to {where}: {_describe_cause(error)}"
        case broken.ConnectTimeoutError():
            return (
                f"no connection to {where} within {timeouts.connect:g} s: check the pod's network "
                "policy, and that the store runs"
            )
        case broken.ReadTimeoutError():
            return f"no data from {where} for {timeouts.read:g} s at {context}"
        case _:
            return f"the connection broke at {context}: {_describe_cause(error)}"


def _tls_error(error: broken.SSLError, context: RequestContext) -> StoreError:
    text, endpoint = str(error), context.location.endpoint
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = next((part.verify_message for part in _certificates(error)), "it is not valid")
        authorities = context.location.ca_file or "the public certificate authorities"
        return StoreError(
            f"the certificate of {endpoint} is not trusted ({reason}): it was checked against "
            f"{authorities}; set S3_CA to the authority that signed it"
        )
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text.lower():
        return StoreError(f"{endpoint} does not speak TLS: write http:// if that is intended")
    return StoreAwayError(
        f"the encrypted connection to {endpoint} failed: {_describe_cause(error)}"
    )


def _certificates(error: BaseException) -> list[ssl.SSLCertVerificationError]:
    causes = [*error.args, error.__cause__, error.__context__]
    return [part for part in causes if isinstance(part, ssl.SSLCertVerificationError)]


def _describe_cause(error: Exception) -> str:
    """Return the reason without the object addresses in the messages of urllib3."""
    for part in (*error.args, error.__cause__, error.__context__):
        if isinstance(part, OSError) and part.strerror:
            return part.strerror
    return type(error).__name__ if not error.args else str(error.args[0]).rpartition(": ")[2]
