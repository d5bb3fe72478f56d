"""A request that brought no answer -> one of our errors; what may pass by itself is told apart."""

import ssl
from collections.abc import Iterator
from typing import Final

import requests
import urllib3

from reconcile.adapters.kube.wording import Mask, quoted
from reconcile.core.errors import ClusterError, UnavailableError

_PASSING: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    urllib3.exceptions.HTTPError,
)
_WRONG_PROTOCOL: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST"})
_DEPTH: Final = 8


def failure(
    doing: str,
    server: str,
    error: requests.RequestException | urllib3.exceptions.HTTPError,
    mask: Mask,
) -> ClusterError:
    """Word a request that brought no answer.

    A certificate that cannot be verified and a wrong protocol stay as they are until somebody acts;
    they are plain ClusterErrors. What requests itself refuses to send is one, too.
    """
    chain = tuple(_chain(error))
    head = f"{doing}: {server}"
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            return ClusterError(f"{head}: {_certificate(link, mask)}")
        if isinstance(link, ssl.SSLError) and link.reason in _WRONG_PROTOCOL:
            return ClusterError(
                f"{head}: this is no HTTPS server; is the URL http:// or the port wrong?"
            )
    words = f"{head}: {_kind(error)}: {quoted(_innermost(chain), mask)}"
    return UnavailableError(words) if isinstance(error, _PASSING) else ClusterError(words)


def _certificate(error: ssl.SSLCertVerificationError, mask: Mask) -> str:
    return (
        f"the server's certificate is not trusted ({quoted(error.verify_message, mask)}); check "
        "certificate-authority, certificate-authority-data and tls-server-name in the kubeconfig"
    )


def _kind(error: BaseException) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    return "no complete answer" if isinstance(error, _PASSING) else "cannot be asked"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Follow an error inwards: urllib3 puts the reason into attributes and arguments."""
    link: BaseException | None = error
    for _ in range(_DEPTH):
        if link is None:
            return
        yield link
        link = _inner(link)


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    candidates = (reason, *error.args, error.__cause__, error.__context__)
    return next((one for one in candidates if isinstance(one, BaseException)), None)


def _innermost(chain: tuple[BaseException, ...]) -> str:
    """Find the innermost text; a bare class name is better than nothing."""
    texts = (str(link) for link in reversed(chain))
    return next((text for text in texts if text), type(chain[0]).__name__)
