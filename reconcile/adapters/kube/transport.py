"""One request to the API server and its answer; foreign errors end here, nothing is repeated.

The TLS of connections to the API server: one context for all of them, made from memory.

pykube-ng writes keys into world-readable files of guessable names under /tmp and trusts what it
finds there; requests lets $REQUESTS_CA_BUNDLE win over a session's setting and adds its own list of
authorities. Neither happens here: the context is ours, and both are kept from touching it.

Which proxy a server is reached through: the kubeconfig's, else the environment's, else none.
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
    """How the server proves who it is.

    `ca_certificates` is PEM, the system's own where it is empty; `server_name` is expected instead of
    the URL's host where it is set; `verify` is false only by the kubeconfig's explicit word.
    """

    ca_certificates: bytes = b""
    server_name: str = ""
    verify: bool = True


class TlsAdapter(requests.adapters.HTTPAdapter):
    """Connections with TLS contexts of ours; a new key pair makes new connections.

    The `cert` of a request is a `KeyPair` or None.
    """

    def __init__(self, tls: TlsConfig, max_connections: int) -> None:
        """Keep up to `max_connections` open, which is how many threads can ask at a time."""
        self._tls = tls
        self._lock = threading.Lock()
        self._key_pair: KeyPair | None = None
        self._context = build_ssl_context(tls, None)
        if not tls.verify:
            # The kubeconfig says so; a warning with each request would only hide other lines.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        super().__init__(pool_maxsize=max_connections)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Put our context, which belongs to a pool's identity, in place of requests' settings."""
        host, _ = super().build_connection_pool_key_attributes(request, verify)
        pool: dict[str, Any] = {
            "ssl_context": self._context_for(cert),
            "cert_reqs": "CERT_REQUIRED" if self._tls.verify else "CERT_NONE",
        }
        if self._tls.server_name:
            pool["server_hostname"] = self._tls.server_name
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the pool as it is: requests would load its own authorities into our context."""

    def _context_for(self, key_pair: KeyPair | None) -> ssl.SSLContext:
        with self._lock:
            if key_pair != self._key_pair:
                self._context, self._key_pair = build_ssl_context(self._tls, key_pair), key_pair
            return self._context


def build_ssl_context(tls: TlsConfig, key_pair: KeyPair | None) -> ssl.SSLContext:
    """Make a context; ClusterError where a certificate or a key is unusable."""
    made = _build_base_context(tls)
    # Kubernetes' own authorities often lack what X.509's strict reading, the default from
    # Python 3.13 on, asks for; kubectl takes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if key_pair is not None:
        load_key_pair(made, key_pair)
    return made


def _build_base_context(tls: TlsConfig) -> ssl.SSLContext:
    if not tls.ca_certificates:
        return ssl.create_default_context()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Never `create_default_context`: for a text that turns out empty it trusts the system's.
        made.load_verify_locations(cadata=tls.ca_certificates.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(
            "certificate-authority: no usable certificate in PEM; "
            "check certificate-authority or certificate-authority-data in the kubeconfig"
        ) from error
    return made


def load_key_pair(ssl_context: ssl.SSLContext, key_pair: KeyPair) -> None:
    """Load a key pair, for which Python's ssl needs files: private ones, gone at once.

    ClusterError where it is unusable.
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
    """Refuse instead of asking: the default would wait for a password on the terminal."""
    raise ClusterError("client-key: the key is encrypted, and nobody is there for its password")


def choose_proxy(server: str, proxy_url: str, environ: Mapping[str, str]) -> str:
    """Return the proxy's URL, empty for none, by the rules that kubectl (Go's net/http) has.

    Args:
        server: The API server's URL.
        proxy_url: The kubeconfig's `proxy-url`, which NO_PROXY does not concern.
        environ: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or not.
    """
    if proxy_url:
        return proxy_url
    target = urlsplit(server)
    proxy = _read_variable(environ, f"{target.scheme}_proxy")
    host = (target.hostname or "").lower()
    port = target.port or (443 if target.scheme == "https" else 80)
    if (
        not proxy
        or _is_loopback(host)
        or _is_exempt(host, port, _read_variable(environ, "no_proxy"))
    ):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _read_variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_loopback(host: str) -> bool:
    address = _parse_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _is_exempt(host: str, port: int, listed: str) -> bool:
    entries = (entry.strip().lower() for entry in listed.split(","))
    return any(_matches(host, port, entry) for entry in entries if entry)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = _parse_address(host)
    if address is not None and "/" in entry:
        return _is_in_network(address, entry)
    name, _, wanted = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    bare = name.strip("[]").removeprefix("*")
    return host == bare or host.endswith(bare if bare.startswith(".") else f".{bare}")


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


JSON_MEDIA_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    `operation` words it for errors, verb and object: `apply Pod team-a/fix-login-runner`. `path` is
    from `/api` on, quoted. A `body` has its own `content_type`.
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
    """Seconds to connect, and seconds of silence before an answer is given up."""

    connect: float = 5.0
    read: float = 30.0


@dataclass(frozen=True, slots=True)
class ApiEndpoint:
    """Where requests go: the URL without a slash at its end, and the proxy's URL or nothing."""

    url: str
    proxy: str = field(default="", repr=False)
    timeouts: ConnectTimeouts = field(default_factory=ConnectTimeouts)


class ApiClient:
    """Sends requests over one session; safe to use from several threads.

    Raises what `errors` and `failures` word, UnavailableError for a success that is no JSON object.
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
        """Close the connections that are open."""
        self._session.close()

    def send(self, request: ApiRequest) -> dict[str, Any]:
        """Send a request, once more if a new credential is there after a 401; decode the answer."""
        credential = self._credentials.current()
        answer = self._send_once(request, credential)
        if answer.code == HTTPStatus.UNAUTHORIZED and self._credentials.renew(credential):
            answer = self._send_once(request, self._credentials.current())
        if not answer.is_success:
            raise build_api_error(request.operation, answer, self.mask)
        return _decode(request, answer.body)

    def _send_once(self, request: ApiRequest, credential: Credential) -> ApiResponse:
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if credential.token:
            headers["Authorization"] = f"Bearer {credential.token}"
        try:
            response = self._perform(request, headers, credential.key_pair)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise build_connection_error(
                request.operation, self.endpoint.url, error, self.mask
            ) from error
        return ApiResponse(response.status_code, response.headers, response.content, time.time())

    def _perform(
        self, request: ApiRequest, headers: Mapping[str, str], key_pair: KeyPair | None
    ) -> requests.Response:
        # `cert` is a pair of file names by requests' word; `tls.TlsAdapter` takes the pair itself.
        cert: Any = key_pair
        return self._session.request(
            request.method,
            self.endpoint.url + request.path,
            params=request.params,
            data=request.body,
            headers=headers,
            cert=cert,
            timeout=(self.endpoint.timeouts.connect, self.endpoint.timeouts.read),
            # Another host must not see the credentials, and an API server never redirects.
            allow_redirects=False,
            proxies={"all": self.endpoint.proxy} if self.endpoint.proxy else None,
        )


def _decode(request: ApiRequest, body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        # Without its cause: a JSON error quotes the document, which may hold secrets.
        raise UnavailableError(f"{request.operation}: the answer is cut off or no JSON") from None
    if not isinstance(content, dict):
        raise UnavailableError(f"{request.operation}: the answer is no JSON object")
    return content
