"""What a request without an answer means, as an error whose message a person can act on."""

import ssl

from urllib3 import exceptions as broken

from reconcile.mirror.errors import StoreAwayError, StoreError
from reconcile.mirror.store.s3_errors import Asked


def error_of(error: Exception, asked: Asked) -> StoreError:
    """Return the error of the kind that the port promises.

    Args:
        error: One of urllib3's.
        asked: What the request wanted.
    """
    if isinstance(error, broken.SSLError):
        return _tls(error, asked)
    return StoreAwayError(_words(error, asked))


def _words(error: Exception, asked: Asked) -> str:
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
