"""From a kubeconfig to a connection: every field is used, or refused."""

import base64
import json
import sys

import pytest
import requests

from reconcile import __version__
from reconcile.adapters.kube.connect import DEFAULT_CONNECT_OPTIONS, ConnectOptions, connect
from reconcile.adapters.kube.transport import ConnectTimeouts
from reconcile.core.errors import ClusterError, ForbiddenError
from reconcile.core.model import Kind
from tests.adapters.kube.fakes import FakeServer, Reply, status
from tests.adapters.kube.kubeconfigs import written

SERVER = "https://one.example:6443"
POD = Kind("v1", "Pod")


def seen_by(cluster, server=None):
    """Send one request to a fake server in place of the real one, and return what it was."""
    server = server or FakeServer(Reply())
    cluster._client._session.mount("https://", server)
    cluster.get(POD, "a", "b")
    return server.seen[-1]


def opened(tmp_path, cluster=None, user=None, **options):
    path = written(tmp_path / "config", {"server": SERVER, **(cluster or {})}, user)
    return connect(str(path), None, ConnectOptions(**options))


def refused(tmp_path, cluster=None, user=None):
    with pytest.raises(ClusterError) as caught:
        opened(tmp_path, cluster, user)
    said = str(caught.value)
    origin = f'context "main" of {tmp_path / "config"}: '
    assert said.startswith(origin)
    return said.removeprefix(origin)


def test_to_connect_sends_nothing(tmp_path, monkeypatch):
    sent = []
    monkeypatch.setattr(requests.Session, "send", lambda *request, **_: sent.append(request))
    opened(tmp_path)
    assert sent == []


def test_requests_carry_our_name_and_take_compressed_json(tmp_path):
    seen = seen_by(opened(tmp_path))
    assert seen.headers["User-Agent"] == f"reconcile/{__version__}"
    assert seen.headers["Accept"] == "application/json"
    assert seen.headers["Accept-Encoding"] == "gzip"
    assert "Authorization" not in seen.headers
    assert seen.sent_with["timeout"] == (5.0, 30.0)


def test_timeouts_and_connections_can_be_set(tmp_path):
    cluster = opened(tmp_path, timeouts=ConnectTimeouts(1.0, 2.0), max_connections=40)
    assert cluster._client._session.get_adapter(SERVER)._pool_maxsize == 40
    assert seen_by(cluster).sent_with["timeout"] == (1.0, 2.0)
    assert DEFAULT_CONNECT_OPTIONS.max_connections == 16


def test_the_programs_own_environment_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine one.example login a password b")
    (tmp_path / ".netrc").chmod(0o600)
    for name, value in {
        "HOME": str(tmp_path),
        "HTTPS_PROXY": "http://elsewhere.example:3128",
        "REQUESTS_CA_BUNDLE": "/absent",
        "CURL_CA_BUNDLE": "/absent",
        "KUBECONFIG": "/absent",
        "PYKUBE_SSL_CERTIFICATE_AUTHORITY": "/absent",
    }.items():
        monkeypatch.setenv(name, value)
    seen = seen_by(opened(tmp_path))
    assert "Authorization" not in seen.headers
    assert not seen.sent_with["proxies"]
    assert seen.sent_with["verify"] is True


def test_the_environment_that_is_passed_in_names_files_and_proxies(tmp_path):
    path = written(tmp_path / "config", {"server": SERVER + "/"})
    environ = {"KUBECONFIG": str(path), "HTTPS_PROXY": "http://elsewhere.example:3128"}
    seen = seen_by(connect(None, None, ConnectOptions(environ)))
    assert seen.sent_with["proxies"] == {"all": "http://elsewhere.example:3128"}
    assert seen.path == "/api/v1/namespaces/a/pods/b"


def test_the_kubeconfigs_proxy_is_used(tmp_path):
    seen = seen_by(opened(tmp_path, {"proxy-url": "http://proxy.example:3128"}))
    assert seen.sent_with["proxies"] == {"all": "http://proxy.example:3128"}


def test_a_context_is_chosen_by_name(tmp_path):
    written(tmp_path / "one", {"server": SERVER}, {"token": "one"})
    written(tmp_path / "two", {"server": SERVER}, {"token": "two"}, name="second")
    environ = {"KUBECONFIG": f"{tmp_path / 'one'}:{tmp_path / 'two'}"}
    seen = seen_by(connect(None, "second", ConnectOptions(environ)))
    assert seen.headers["Authorization"] == "Bearer two"


PRINT_TOKEN = """
import json, os
token = os.environ["KUBERNETES_EXEC_INFO"]
made = {"apiVersion": os.environ["VERSION"], "kind": "ExecCredential", "status": {"token": token}}
print(json.dumps(made))
"""
PLUGIN = {
    "apiVersion": "client.authentication.k8s.io/v1",
    "command": sys.executable,
    "args": [
        "-c",
        PRINT_TOKEN,
    ],
    "env": [{"name": "VERSION", "value": "client.authentication.k8s.io/v1"}],
    "interactiveMode": "Never",
}


def test_a_token_a_token_file_and_a_plugin_are_taken_in_this_order(tmp_path):
    (tmp_path / "token").write_text("file")
    user = {"tokenFile": "token", "token": "text", "exec": PLUGIN}
    assert seen_by(opened(tmp_path, user=user)).headers["Authorization"] == "Bearer file"
    del user["tokenFile"]
    assert seen_by(opened(tmp_path, user=user)).headers["Authorization"] == "Bearer text"
    del user["token"]
    token = seen_by(opened(tmp_path, user=user)).headers["Authorization"]
    assert json.loads(token.removeprefix("Bearer "))["spec"] == {"interactive": False}


def test_a_plugin_gets_the_cluster_if_it_wants(tmp_path, authority):
    pem = authority.cert_pem.bytes()
    cluster = {
        "certificate-authority-data": base64.b64encode(pem).decode(),
        "tls-server-name": "other.example",
        "proxy-url": "http://proxy.example:3128",
        "extensions": [
            {"name": "other", "extension": {"not": "this"}},
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}},
        ],
    }
    made = opened(tmp_path, cluster, {"exec": {**PLUGIN, "provideClusterInfo": True}})
    token = seen_by(made).headers["Authorization"].removeprefix("Bearer ")
    assert json.loads(token)["spec"]["cluster"] == {
        "server": SERVER,
        "certificate-authority-data": base64.b64encode(pem).decode(),
        "tls-server-name": "other.example",
        "proxy-url": "http://proxy.example:3128",
        "config": {"audience": "x"},
    }


def test_a_plugin_gets_the_setting_that_nothing_is_verified(tmp_path):
    made = opened(
        tmp_path,
        {"insecure-skip-tls-verify": True},
        {"exec": {**PLUGIN, "provideClusterInfo": True}},
    )
    token = seen_by(made).headers["Authorization"].removeprefix("Bearer ")
    cluster = {"server": SERVER, "insecure-skip-tls-verify": True}
    assert json.loads(token)["spec"]["cluster"] == cluster


def test_a_plugin_has_the_environment_and_its_own_variables_win(tmp_path):
    environ = {"VERSION": "wrong", "PATH": "/bin"}
    made = opened(tmp_path, user={"exec": PLUGIN}, environ=environ)
    assert seen_by(made).headers["Authorization"].startswith("Bearer {")


def test_a_plugin_does_not_get_the_tokens_of_a_job(tmp_path):
    program = PRINT_TOKEN.replace('os.environ["KUBERNETES_EXEC_INFO"]', '"-".join(os.environ)')
    user = {"exec": {**PLUGIN, "args": ["-c", program]}}
    environ = {"GITHUB_TOKEN": "x", "GITLAB_TOKEN": "x", "RECONCILE_TOKEN": "x", "HOME": "/h"}
    names = seen_by(opened(tmp_path, user=user, environ=environ)).headers["Authorization"]
    assert "HOME" in names
    assert "TOKEN" not in names


def test_messages_are_masked(tmp_path):
    made = opened(tmp_path, mask=lambda text: text.replace("hunter2", "***"))
    with pytest.raises(ForbiddenError, match=r"no \*\*\* here"):
        seen_by(made, FakeServer(status(403, "Forbidden", "no hunter2 here")))


@pytest.mark.parametrize(
    "server",
    ["", None, "one.example:6443", "ftp://one.example", "https://", "https://a:b", "https://[x"],
)
def test_a_server_has_to_be_a_url(tmp_path, server):
    assert refused(tmp_path, {"server": server}).startswith("server: must be a URL such as https")


def test_a_password_in_the_url_is_refused_and_not_shown(tmp_path):
    words = refused(tmp_path, {"server": "https://user:canary@one.example"})
    assert words == "server: a user in the URL is not supported; use a token"


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ({"auth-provider": {"name": "gcp"}}, "auth-provider: Kubernetes has removed it; use an"),
        ({"username": "a", "password": "canary"}, "username: Kubernetes has removed passwords"),
        ({"as": "canary"}, "as: impersonation is not supported"),
        ({"as-groups": ["canary"]}, "as-groups: impersonation is not supported"),
        ({"token": 123}, "token: must be text; put it in quotes"),
        ({"token": "canary\n\nX: y"}, "token: the token is empty or has invalid characters"),
        ({"exec": "canary"}, "exec: must be a mapping"),
        ({"exec": {"args": ["canary"]}}, "exec.command: is missing"),
        (
            {"exec": {**PLUGIN, "apiVersion": "client.authentication.k8s.io/v1alpha1"}},
            "exec.apiVersion: must be one of client.authentication.k8s.io/v1, client.",
        ),
        ({"exec": {**PLUGIN, "interactiveMode": "Always"}}, "exec.interactiveMode: Always is not"),
        ({"exec": {**PLUGIN, "env": [{"name": "canary"}]}}, "exec.env: each entry needs a `name`"),
        ({"exec": {**PLUGIN, "env": ["canary"]}}, "exec.env: each entry needs a `name`"),
        ({"client-certificate-data": "Y2FuYXJ5"}, "client-certificate and client-key: one of the"),
        (
            {"client-certificate-data": "Y2FuYXJ5", "client-key-data": "Y2FuYXJ5"},
            "client-certificate and client-key: not a certificate and its key in PEM",
        ),
        ({"client-certificate-data": "canaryx", "client-key-data": "x"}, "client-certificate: not"),
        ({"client-certificate": "absent", "client-key": "absent"}, "client-certificate: '/"),
    ],
)
def test_an_unsupported_field_is_refused_by_name_and_never_ignored(tmp_path, user, words):
    said = refused(tmp_path, user=user)
    assert said.startswith(words)
    assert "canary" not in said


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        ({"certificate-authority": "absent"}, "file does not exist"),
        (
            {"certificate-authority-data": "Y2FuYXJ5"},
            "certificate-authority: no valid certificate",
        ),
        ({"certificate-authority-data": 5}, "certificate-authority: not a file name or base64"),
        (
            {"certificate-authority-data": "Y2FuYXJ5", "insecure-skip-tls-verify": True},
            "exclude each other",
        ),
    ],
)
def test_unusable_authorities_are_refused_by_name(tmp_path, cluster, words):
    said = refused(tmp_path, cluster)
    assert words in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "no valid")]
)
def test_an_empty_authority_does_not_mean_those_of_the_system(tmp_path, content, words):
    (tmp_path / "ca.pem").write_bytes(content)
    said = refused(tmp_path, {"certificate-authority": "ca.pem"})
    assert said.startswith(f"certificate-authority: {words}")


def test_an_authority_that_cannot_be_read_is_named(tmp_path):
    said = refused(tmp_path, {"certificate-authority": "/proc/self/mem"})
    assert said == "certificate-authority: cannot be read: Input/output error"


def test_empty_fields_are_as_good_as_none(tmp_path):
    cluster = {"certificate-authority-data": "", "tls-server-name": "", "proxy-url": None}
    user = {"client-certificate-data": "", "client-key-data": None, "token": "", "exec": None}
    assert "Authorization" not in seen_by(opened(tmp_path, cluster, user)).headers
