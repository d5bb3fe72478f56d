"""Sends requests to the API server: TLS, proxy, credentials; failures become our errors.

All connections share one TLS context, made from memory. pykube-ng would write keys into readable
files with guessable names in /tmp; requests would prefer $REQUESTS_CA_BUNDLE to the session's
setting, and add its own list of authorities. The adapter prevents both.
"""

import ipaddress
import ssl
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

import orjson
import requests
import requests.adapters
import requests.utils
import urllib3

from reconcile.adapters.kube.credentials import Credential, CredentialProvider, KeyPair
from reconcile.adapters.kube.errors import (
    ApiResponse,
    SecretMask,
    build_api_error,
    build_connection_error,
)
from reconcile.core.errors import ClusterError, UnavailableError


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How the server's certificate is verified.

    `ca_certificates` is PEM, empty for the authorities of the system; `server_name` is expected
    instead of the URL's host if it is set; `verify` is false only if the kubeconfig says so.
    """

    ca_certificates: bytes = b""
    server_name: str = ""
    verify: bool = True


class TlsAdapter(requests.adapters.HTTPAdapter):
    """Connections with our TLS context; a new key pair makes new connections.

    The `cert` of a request is a `KeyPair` or None.
    """

    def __init__(self, tls: TlsConfig, max_connections: int) -> None:
        """Keep up to `max_connections` open, one for each thread that sends requests."""
        self._tls = tls
        self._lock = threading.Lock()
        self._key_pair: KeyPair | None = None
        self._context = build_ssl_context(tls, None)
        if not tls.verify:
            # The kubeconfig says so; a warning for each request would hide other lines.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        super().__init__(pool_maxsize=max_connections)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Use our context, which is part of a pool's key, instead of the settings of requests."""
        host, _ = super().build_connection_pool_key_attributes(request, verify)
        pool: dict[str, Any] = {
            "ssl_context": self._context_for(cert),
            "cert_reqs": "CERT_REQUIRED" if self._tls.verify else "CERT_NONE",
        }
        if self._tls.server_name:
            pool["server_hostname"] = self._tls.server_name
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do nothing: requests would load its own authorities into our context."""

    def _context_for(self, key_pair: KeyPair | None) -> ssl.SSLContext:
        with self._lock:
            if key_pair != self._key_pair:
                self._context, self._key_pair = build_ssl_context(self._tls, key_pair), key_pair
            return self._context


def build_ssl_context(tls: TlsConfig, key_pair: KeyPair | None) -> ssl.SSLContext:
    """Make a TLS context; ClusterError for an invalid certificate or key."""
    context = _build_base_context(tls)
    # Authorities of Kubernetes often lack fields that strict X.509 verification, the default
    # since Python 3.13, requires; kubectl accepts them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if key_pair is not None:
        load_key_pair(context, key_pair)
    return context


def _build_base_context(tls: TlsConfig) -> ssl.SSLContext:
    if not tls.ca_certificates:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Not `create_default_context`: for an empty text it trusts the system's authorities.
        context.load_verify_locations(cadata=tls.ca_certificates.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(
            "certificate-authority: no valid certificate in PEM; "
            "check certificate-authority or certificate-authority-data in the kubeconfig"
        ) from error
    return context


def load_key_pair(ssl_context: ssl.SSLContext, key_pair: KeyPair) -> None:
    """Load a key pair; ClusterError if it is invalid.

    Python's ssl needs files: they are private, and removed at once.
    """
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        certificate, key = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        certificate.write_bytes(key_pair.certificate)
        key.write_bytes(key_pair.key)
        try:
            ssl_context.load_cert_chain(certificate, key, password=_refuse_password)
        except ssl.SSLError as error:
            raise ClusterError(
                "client-certificate and client-key: not a certificate and its key in PEM; "
                "check the user in the kubeconfig"
            ) from error


def _refuse_password() -> NoReturn:
    """Refuse an encrypted key: the default would wait for a password on the terminal."""
    raise ClusterError("client-key: the key is encrypted, which is not supported; decrypt it")


def choose_proxy(server: str, proxy_url: str, environ: Mapping[str, str]) -> str:
    """Return the URL of the proxy for the API server, empty for none.

    NO_PROXY is matched by requests; see docs/operations.md for what its entries may be. A server
    on this machine is always reached directly, as with kubectl.

    Args:
        server: The API server's URL.
        proxy_url: The kubeconfig's `proxy-url`, which NO_PROXY does not affect.
        environ: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case.
    """
    if proxy_url:
        return _check_proxy(proxy_url, "proxy-url")
    target = urlsplit(server)
    host = target.hostname or ""
    proxy = _read_variable(environ, f"{target.scheme}_proxy")
    if not proxy or _is_loopback(host):
        return ""
    # requests compares as written, and a port only where the URL has one.
    netloc = f"[{host}]" if ":" in host else host
    port = target.port or (443 if target.scheme == "https" else 80)
    exempt = _read_variable(environ, "no_proxy").lower()
    if requests.utils.should_bypass_proxies(f"{target.scheme}://{netloc}:{port}", exempt):
        return ""
    variable = f"{target.scheme.upper()}_PROXY"
    return _check_proxy(proxy if "://" in proxy else f"http://{proxy}", variable)


def _check_proxy(url: str, origin: str) -> str:
    """Return the URL of a usable proxy; ClusterError names where it is from."""
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        raise ClusterError(f"{origin}: must be a URL such as http://192.0.2.1:3128") from None
    if parts.scheme.startswith("socks"):
        raise ClusterError(
            f"{origin}: SOCKS proxies are not supported; give the URL of an HTTP proxy"
        )
    if parts.scheme not in {"http", "https"} or not usable:
        raise ClusterError(f"{origin}: must be a URL such as http://192.0.2.1:3128")
    return url


def describe_proxy(url: str) -> str:
    """Return the address of a proxy, without the user and the password of its URL."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = f"[{host}]" if ":" in host else host
    return (
        f"{parts.scheme}://{address}:{parts.port}" if parts.port else f"{parts.scheme}://{address}"
    )


def _read_variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


JSON_MEDIA_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    `operation` is the verb and the object for errors: `apply Pod team-a/fix-login-runner`. `path`
    begins with `/api`, and is quoted. `content_type` is that of the `body`.
    """

    operation: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    accept: str = JSON_MEDIA_TYPE
    content_type: str = JSON_MEDIA_TYPE
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ConnectTimeouts:
    """Seconds to connect, and seconds without data until a response is given up."""

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """Where requests are sent: a URL without a slash at its end; the proxy's URL or empty."""

    url: str
    proxy: str = field(default="", repr=False)
    timeouts: ConnectTimeouts = field(default_factory=ConnectTimeouts)

    @property
    def description(self) -> str:
        """The server, and the proxy that is asked for it, for errors."""
        return f"{self.url} (by the proxy {describe_proxy(self.proxy)})" if self.proxy else self.url


class ApiClient:
    """Sends requests over one session; safe to use from several threads.

    Raises the errors of `adapters.kube.errors`, and UnavailableError for a successful response that
    is not a JSON object.
    """

    def __init__(
        self,
        session: requests.Session,
        endpoint: ApiEndpoint,
        credentials: CredentialProvider,
        mask: SecretMask,
    ) -> None:
        self.endpoint = endpoint
        self.mask = mask
        self._session = session
        self._credentials = credentials

    def close(self) -> None:
        """Close the open connections."""
        self._session.close()

    def send(self, request: ApiRequest) -> dict[str, Any]:
        """Send a request, again after a 401 if there is a new credential; decode the response."""
        credential = self._credentials.current()
        response = self._send_once(request, credential)
        if response.code == HTTPStatus.UNAUTHORIZED and self._credentials.renew(credential):
            response = self._send_once(request, self._credentials.current())
        if not response.is_success:
            raise build_api_error(request.operation, response, self.mask)
        return _decode(request, response.body)

    def _send_once(self, request: ApiRequest, credential: Credential) -> ApiResponse:
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        try:
            with self._perform(request, headers, credential.key_pair) as response:
                body = _read_body(request, response)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise build_connection_error(
                request.operation, self.endpoint.description, error, self.mask
            ) from error
        return ApiResponse(response.status_code, response.headers, body, time.time())

    def _perform(
        self, request: ApiRequest, headers: Mapping[str, str], key_pair: KeyPair | None
    ) -> requests.Response:
        # For requests, `cert` is a pair of file names; `TlsAdapter` takes the key pair itself.
        cert: Any = key_pair
        return self._session.request(
            request.method,
            self.endpoint.url + request.path,
            params=request.params,
            data=request.body,
            headers=headers,
            cert=cert,
            timeout=(self.endpoint.timeouts.connect, self.endpoint.timeouts.read),
            stream=True,
            # Another host must not get the credentials, and an API server never redirects.
            allow_redirects=False,
            proxies={"all": self.endpoint.proxy} if self.endpoint.proxy else None,
        )


MAX_RESPONSE: Final = 16 << 20
"""Bytes of a response to read at most: a page of 500 pods has about 7 MiB."""

_PIECE: Final = 1 << 18


class ResponseTooLargeError(ClusterError):
    """A response has more bytes than are read."""


def _read_body(request: ApiRequest, response: requests.Response) -> bytes:
    """Read a body, unpacked; an object may have a megabyte, so a page of them would fill memory."""
    pieces, size = [], 0
    for piece in response.iter_content(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE:
            raise ResponseTooLargeError(
                f"{request.operation}: the response has more than {MAX_RESPONSE} bytes"
            )
    return b"".join(pieces)


def _decode(request: ApiRequest, body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Without its cause: a JSON error quotes the document, which may contain secrets.
        raise UnavailableError(
            f"{request.operation}: the response is truncated or not JSON"
        ) from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{request.operation}: the response is not a JSON object")
    return content
