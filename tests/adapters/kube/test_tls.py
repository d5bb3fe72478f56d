"""Connections trust only the kubeconfig's authority, and present its client certificate."""

import contextlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
import trustme
from cryptography.hazmat.primitives import serialization

from reconcile.adapters.kube.cluster import KubeCluster
from reconcile.adapters.kube.connect import connect
from reconcile.adapters.kube.credentials import Credential, KeyPair
from reconcile.adapters.kube.transport import (
    ApiClient,
    ApiEndpoint,
    TlsAdapter,
    TlsConfig,
    build_ssl_context,
)
from reconcile.core.errors import ClusterError, UnavailableError
from tests.adapters.kube.fakes import server_version
from tests.adapters.kube.kubeconfigs import written
from tests.controlplane import ports


class Handler(BaseHTTPRequestHandler):
    """Answers with the name in the client's certificate."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        shown = self.connection.getpeercert() or {}
        names = [value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"]
        body = f'{{"gitVersion": "{",".join(names) or "anonymous"}"}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """Does not print what a client does wrong."""

    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def serving(authority, *names):
    """An HTTPS server with a certificate for these names, which knows `authority`'s clients."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_OPTIONAL
    with Quiet(("127.0.0.1", ports.free(1)[0]), Handler) as server:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def local(authority):
    with serving(authority, "127.0.0.1") as url:
        yield url


@pytest.fixture(scope="module")
def named(authority):
    with serving(authority, "inside.example") as url:
        yield url


@pytest.fixture
def ca_file(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return "ca.pem"


def version(tmp_path, cluster, user=None):
    connection = connect(str(written(tmp_path / "config", cluster, user)), None)
    try:
        return server_version(connection)
    finally:
        connection.close()


def test_the_kubeconfigs_authority_is_trusted_whatever_the_environment_says(
    tmp_path, local, ca_file, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/absent")
    monkeypatch.setenv("PYKUBE_SSL_CERTIFICATE_AUTHORITY", "/absent")
    assert version(tmp_path, {"server": local, "certificate-authority": ca_file}) == "anonymous"


@pytest.mark.parametrize("authorities", ["another", "the system's"])
def test_another_authority_is_not_trusted_and_that_does_not_pass(tmp_path, local, authorities):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    other = {"certificate-authority": "other.pem"} if authorities == "another" else {}
    with pytest.raises(ClusterError, match="certificate is not trusted") as caught:
        version(tmp_path, {"server": local, **other})
    assert not isinstance(caught.value, UnavailableError)
    assert "certificate-authority" in str(caught.value)


def test_only_the_kubeconfigs_authorities_are_loaded(authority):
    made = build_ssl_context(TlsConfig(authority.cert_pem.bytes()), None)
    assert made.cert_store_stats()["x509_ca"] == 1
    assert not made.verify_flags & ssl.VERIFY_X509_STRICT


def test_the_servers_name_is_checked(tmp_path, named, ca_file):
    with pytest.raises(ClusterError, match="certificate is not trusted"):
        version(tmp_path, {"server": named, "certificate-authority": ca_file})


def test_another_name_may_be_expected(tmp_path, named, ca_file):
    cluster = {"server": named, "certificate-authority": ca_file}
    assert version(tmp_path, {**cluster, "tls-server-name": "inside.example"}) == "anonymous"


def test_nothing_is_verified_if_the_kubeconfig_says_so(tmp_path, named):
    assert version(tmp_path, {"server": named, "insecure-skip-tls-verify": True}) == "anonymous"


def test_a_client_certificate_is_shown_and_leaves_no_file(
    tmp_path, local, ca_file, authority, monkeypatch
):
    keys = authority.issue_cert("client.example")
    keys.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    keys.private_key_pem.write_to_path(tmp_path / "client.key")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    cluster = {"server": local, "certificate-authority": ca_file}
    user = {"client-certificate": "client.pem", "client-key": "client.key"}
    assert version(tmp_path, cluster, user) == "client.example"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_encrypted_key_is_refused_instead_of_asking_for_its_password(authority):
    issued = authority.issue_cert("client.example")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(ClusterError, match="client-key: the key is encrypted"):
        build_ssl_context(TlsConfig(), KeyPair(issued.cert_chain_pems[0].bytes(), encrypted))


class Rotating:
    """Credentials that are other ones with each request."""

    def __init__(self, *credentials):
        self.coming = list(credentials)

    def current(self):
        return self.coming.pop(0)

    def renew(self, refused):
        return refused is None


def test_a_new_client_certificate_is_shown_on_new_connections(local, authority):
    pairs = [authority.issue_cert(f"client-{number}.example") for number in (1, 2)]
    credentials = [
        Credential("", KeyPair(pair.cert_chain_pems[0].bytes(), pair.private_key_pem.bytes()))
        for pair in (*pairs, *pairs)
    ]
    with requests.Session() as session:
        session.mount("https://", TlsAdapter(TlsConfig(authority.cert_pem.bytes()), 4))
        cluster = KubeCluster(ApiClient(session, ApiEndpoint(local), Rotating(*credentials), str))
        shown = [server_version(cluster) for _ in credentials]
    assert shown == ["client-1.example", "client-2.example"] * 2
