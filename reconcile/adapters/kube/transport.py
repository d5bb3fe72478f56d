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

from reconcile.adapters.kube.credentials import Credential, Credentials, KeyPair
from reconcile.adapters.kube.errors import Answer, Mask, failure, refusal
from reconcile.core.errors import ClusterError, UnavailableError


@dataclass(frozen=True, slots=True)
class Trust:
    """How the server proves who it is.

    `authorities` is PEM, the system's own where it is empty; `server_name` is expected instead of
    the URL's host where it is set; `verify` is false only by the kubeconfig's explicit word.
    """

    authorities: bytes = b""
    server_name: str = ""
    verify: bool = True


class TlsAdapter(requests.adapters.HTTPAdapter):
    """Connections with TLS contexts of ours; a new key pair makes new connections.

    The `cert` of a request is a `KeyPair` or None.
    """

    def __init__(self, trust: Trust, connections: int) -> None:
        """Keep up to `connections` open, which is how many threads can ask at a time."""
        self._trust = trust
        self._lock = threading.Lock()
        self._keys: KeyPair | None = None
        self._context = context(trust, None)
        if not trust.verify:
            # The kubeconfig says so; a warning with each request would only hide other lines.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        super().__init__(pool_maxsize=connections)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Put our context, which belongs to a pool's identity, in place of requests' settings."""
        host, _ = super().build_connection_pool_key_attributes(request, verify)
        pool: dict[str, Any] = {
            "ssl_context": self._presenting(cert),
            "cert_reqs": "CERT_REQUIRED" if self._trust.verify else "CERT_NONE",
        }
        if self._trust.server_name:
            pool["server_hostname"] = self._trust.server_name
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the pool as it is: requests would load its own authorities into our context."""

    def _presenting(self, keys: KeyPair | None) -> ssl.SSLContext:
        with self._lock:
            if keys != self._keys:
                self._context, self._keys = context(self._trust, keys), keys
            return self._context


def context(trust: Trust, keys: KeyPair | None) -> ssl.SSLContext:
    """Make a context; ClusterError where a certificate or a key is unusable."""
    made = _trusting(trust)
    # Kubernetes' own authorities often lack what X.509's strict reading, the default from
    # Python 3.13 on, asks for; kubectl takes them.
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not trust.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if keys is not None:
        load(made, keys)
    return made


def _trusting(trust: Trust) -> ssl.SSLContext:
    if not trust.authorities:
        return ssl.create_default_context()
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Never `create_default_context`: for a text that turns out empty it trusts the system's.
        made.load_verify_locations(cadata=trust.authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(
            "certificate-authority: no usable certificate in PEM; "
            "check certificate-authority or certificate-authority-data in the kubeconfig"
        ) from error
    return made


def load(made: ssl.SSLContext, keys: KeyPair) -> None:
    """Load a key pair, for which Python's ssl needs files: private ones, gone at once.

    ClusterError where it is unusable.
    """
    with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
        certificate, key = Path(folder) / "certificate.pem", Path(folder) / "key.pem"
        certificate.write_bytes(keys.certificate)
        key.write_bytes(keys.key)
        try:
            made.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            raise ClusterError(
                "client-certificate and client-key: not a certificate and its key in PEM; "
                "check the user in the kubeconfig"
            ) from error


def _no_password() -> NoReturn:
    """Refuse instead of asking: the default would wait for a password on the terminal."""
    raise ClusterError("client-key: the key is encrypted, and nobody is there for its password")


def choose(server: str, proxy_url: str, environ: Mapping[str, str]) -> str:
    """Return the proxy's URL, empty for none, by the rules that kubectl (Go's net/http) has.

    Args:
        server: The API server's URL.
        proxy_url: The kubeconfig's `proxy-url`, which NO_PROXY does not concern.
        environ: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in capitals or not.
    """
    if proxy_url:
        return proxy_url
    target = urlsplit(server)
    proxy = _variable(environ, f"{target.scheme}_proxy")
    host = (target.hostname or "").lower()
    port = target.port or (443 if target.scheme == "https" else 80)
    if not proxy or _loopback(host) or _exempt(host, port, _variable(environ, "no_proxy")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _exempt(host: str, port: int, listed: str) -> bool:
    entries = (entry.strip().lower() for entry in listed.split(","))
    return any(_matches(host, port, entry) for entry in entries if entry)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None and "/" in entry:
        return _inside(address, entry)
    name, _, wanted = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    bare = name.strip("[]").removeprefix("*")
    return host == bare or host.endswith(bare if bare.startswith(".") else f".{bare}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


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
