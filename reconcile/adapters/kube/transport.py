"""One request to the API server and its answer; foreign errors end here, nothing is repeated."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson
import requests
import urllib3

from reconcile.adapters.kube.credentials import Credential, Credentials, KeyPair
from reconcile.adapters.kube.errors import refusal
from reconcile.adapters.kube.failures import failure
from reconcile.adapters.kube.status import Answer
from reconcile.adapters.kube.wording import Mask
from reconcile.core.errors import UnavailableError

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    `doing` words it for errors, verb and object: `apply Pod team-a/fix-login-runner`. `path` is
    from `/api` on, quoted. A `body` has its own `content_type`.
    """

    doing: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    accept: str = JSON
    content_type: str = JSON
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to connect, and seconds of silence before an answer is given up."""

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """Where requests go: the URL without a slash at its end, and the proxy's URL or nothing."""

    url: str
    proxy: str = field(default="", repr=False)
    limits: Limits = field(default_factory=Limits)


class Wire:
    """Sends requests over one session; safe to use from several threads.

    Raises what `errors` and `failures` word, UnavailableError for a success that is no JSON object.
    """

    def __init__(
        self, session: requests.Session, server: Server, credentials: Credentials, mask: Mask
    ) -> None:
        self.server = server
        self.mask = mask
        self._session = session
        self._credentials = credentials
        self._lock = threading.Lock()
        self._requests_made = 0

    @property
    def requests_made(self) -> int:
        """How many requests were sent, refused and failed ones included."""
        return self._requests_made

    def close(self) -> None:
        """Close the connections that are open."""
        self._session.close()

    def send(self, call: Call) -> dict[str, Any]:
        """Send a request, once more if a new credential is there after a 401; decode the answer."""
        credential = self._credentials.current()
        answer = self._exchange(call, credential)
        if answer.code == HTTPStatus.UNAUTHORIZED and self._credentials.renew(credential):
            answer = self._exchange(call, self._credentials.current())
        if not answer.succeeded:
            raise refusal(call.doing, answer, self.mask)
        return _decoded(call, answer.body)

    def _exchange(self, call: Call, credential: Credential) -> Answer:
        with self._lock:
            self._requests_made += 1
        headers = {"Accept": call.accept}
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        try:
            response = self._request(call, headers, credential.keys)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise failure(call.doing, self.server.url, error, self.mask) from error
        return Answer(response.status_code, response.headers, response.content, time.time())

    def _request(
        self, call: Call, headers: Mapping[str, str], keys: KeyPair | None
    ) -> requests.Response:
        # `cert` is a pair of file names by requests' word; `tls.TlsAdapter` takes the pair itself.
        cert: Any = keys
        return self._session.request(
            call.method,
            self.server.url + call.path,
            params=call.params,
            data=call.body,
            headers=headers,
            cert=cert,
            timeout=(self.server.limits.connect, self.server.limits.read),
            # Another host must not see the credentials, and an API server never redirects.
            allow_redirects=False,
            proxies={"all": self.server.proxy} if self.server.proxy else None,
        )


def _decoded(call: Call, body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Without its cause: a JSON error quotes the document, which may hold secrets.
        raise UnavailableError(f"{call.doing}: the answer is cut off or no JSON") from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{call.doing}: the answer is no JSON object")
    return content
