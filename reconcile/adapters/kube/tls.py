"""The TLS of connections to the API server: one context for all of them, made from memory.

pykube-ng writes keys into world-readable files of guessable names under /tmp and trusts what it
finds there; requests lets $REQUESTS_CA_BUNDLE win over a session's setting and adds its own list of
authorities. Neither happens here: the context is ours, and both are kept from touching it.
"""

import ssl
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import requests.adapters
import urllib3

from reconcile.adapters.kube.credentials import KeyPair
from reconcile.core.errors import ClusterError


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
