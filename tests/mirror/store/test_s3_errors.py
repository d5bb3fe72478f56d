"""Each refusal becomes an error of the right class, with a message that says what to do."""

import pytest

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
from reconcile.mirror.store.s3_errors import (
    ErrorResponse,
    RequestContext,
    error_of_response,
)

CONTEXT = RequestContext(
    StoreLocation("https://s3.example", "work"), "s3:GetObject", "team/one/HEAD"
)


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "NoSuchKey", MissingObjectError, "object work/team/one/HEAD does not exist"),
        (404, "NoSuchBucket", StoreError, "no bucket work at https://s3.example: create it"),
        (404, "", UnexpectedResponseError, "does not speak S3"),
        (400, "InvalidBucketName", StoreError, "correct S3_BUCKET"),
        (403, "InvalidAccessKeyId", DeniedError, "correct S3_ACCESS_KEY"),
        (403, "SignatureDoesNotMatch", DeniedError, "correct S3_SECRET_KEY"),
        (400, "ExpiredToken", DeniedError, "session token"),
        (403, "AccessDenied", DeniedError, "may not s3:GetObject on work/team/one/HEAD"),
        (403, "", DeniedError, "refused s3:GetObject"),
        (401, "", DeniedError, "HTTP 401"),
        (403, "RequestTimeTooSkewed", StoreAwayError, "behind the store's"),
        (400, "AuthorizationHeaderMalformed", StoreError, "correct S3_REGION"),
        (
            301,
            "PermanentRedirect",
            StoreError,
            "is in another region, but the request was signed for us-",
        ),
        (403, "QuotaExceeded", StoreError, "raise the quota"),
        (507, "", StoreError, "no space left in work"),
        (412, "PreconditionFailed", PreconditionError, "team/one/HEAD has changed"),
        (412, "", PreconditionError, "team/one/HEAD has changed"),
        (409, "ConditionalRequestConflict", StoreAwayError, "another write"),
        (400, "BadDigest", StoreAwayError, "other bytes than were sent"),
        (400, "XAmzContentSHA256Mismatch", StoreAwayError, "other bytes than were sent"),
        (400, "RequestTimeout", StoreAwayError, "RequestTimeout"),
        (503, "SlowDown", StoreAwayError, "SlowDown"),
        (429, "", StoreAwayError, "HTTP 429"),
        (500, "InternalError", StoreAwayError, "failed at"),
        (502, "", StoreAwayError, "HTTP 502"),
        (501, "NotImplemented", UnsupportedRequestError, "does not implement s3:GetObject"),
        (400, "Odd", StoreError, "HTTP 400, Odd: because"),
    ],
)
def test_a_refusal_has_its_class_and_message(
    status: int, code: str, kind: type[StoreError], words: str
) -> None:
    error = error_of_response(
        ErrorResponse(status, code, "because" if code else "", skew=-1000), CONTEXT
    )
    assert type(error) is kind
    assert words in str(error)


def test_the_delay_that_the_server_requests_is_kept_and_reported() -> None:
    error = error_of_response(ErrorResponse(503, "SlowDown", "", retry_after=7.5), CONTEXT)
    assert isinstance(error, StoreAwayError)
    assert error.retry_after == 7.5
    assert "retry after 7.5 s" in str(error)


def test_the_region_of_the_bucket_is_named_if_the_server_sends_it() -> None:
    error = error_of_response(
        ErrorResponse(301, "PermanentRedirect", "", region="eu-west-1"), CONTEXT
    )
    assert "the bucket work is in eu-west-1" in str(error)
