"""The proxy is the one of the kubeconfig, else of the environment; requests matches NO_PROXY."""

import pytest

from reconcile.adapters.kube.connect import ConnectOptions, connect
from reconcile.adapters.kube.transport import choose_proxy
from reconcile.core.errors import ClusterError, UnavailableError
from tests.adapters.kube.kubeconfigs import written
from tests.contracts.bodies import POD

SERVER = "https://api.corp.example:6443"
PROXY = "http://proxy.example:3128"


def test_without_a_proxy_there_is_none():
    assert choose_proxy(SERVER, "", {}) == ""


def test_the_kubeconfig_wins_whatever_the_environment_says():
    environ = {"HTTPS_PROXY": "http://other.example", "NO_PROXY": "*"}
    assert choose_proxy(SERVER, PROXY, environ) == PROXY


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environment_may_name_one(name):
    assert choose_proxy(SERVER, "", {name: PROXY}) == PROXY
    assert choose_proxy(SERVER, "", {name: "proxy.example:3128"}) == PROXY


def test_each_scheme_has_its_own():
    environ = {"HTTP_PROXY": PROXY}
    assert choose_proxy(SERVER, "", environ) == ""
    assert choose_proxy("http://api.corp.example", "", environ) == PROXY


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"])
def test_this_machine_is_reached_directly(host):
    assert choose_proxy(f"https://{host}:6443", "", {"HTTPS_PROXY": PROXY}) == ""


@pytest.mark.parametrize(
    ("server", "exempt", "direct"),
    [
        (SERVER, "*", True),
        (SERVER, "api.corp.example", True),
        (SERVER, "corp.example", True),
        (SERVER, " .corp.example , other", True),
        (SERVER, "API.corp.example:6443", True),
        (SERVER, "api.corp.example:443", False),
        (SERVER, "https.example", False),
        (SERVER, "p.example", False),
        (SERVER, ",", False),
        (SERVER, "10.0.0.0/8", False),
        ("https://corp.example", "corp.example:443", True),
        ("http://corp.example", "corp.example:80", True),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "11.0.0.0/8", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "nonsense/8", False),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[FD00::1]:6443", "other,fd00::1", True),
        ("https://[fd00::1]:6443", "fd00::2", False),
    ],
)
def test_exemptions_are_hosts_domains_ports_and_networks(server, exempt, direct):
    environ = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "no_proxy": exempt}
    assert choose_proxy(server, "", environ) == ("" if direct else PROXY)


@pytest.mark.parametrize(
    ("server", "exempt", "direct"),
    [
        ("https://corp.example", ".corp.example", True),
        (SERVER, "*.corp.example", False),
        (SERVER, "other,*", False),
        ("https://10.1.2.3:6443", "10.1.2.3:6443", False),
        ("https://[fd00::1]:6443", "fd00:0::1", False),
        ("https://[fd00::1]:6443", "[fd00::1]", False),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", False),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://[fd00::1]:6443", "::/0", False),
    ],
)
def test_no_proxy_entries_that_requests_and_go_read_differently(server, exempt, direct):
    """docs/operations.md lists them; a later requests may support more."""
    environ = {"HTTPS_PROXY": PROXY, "NO_PROXY": exempt}
    assert choose_proxy(server, "", environ) == ("" if direct else PROXY)


def test_the_process_environment_is_not_read(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example")
    assert choose_proxy(SERVER, "", {}) == ""
    assert choose_proxy(SERVER, "", {"HTTPS_PROXY": PROXY}) == PROXY


@pytest.mark.parametrize("proxy", ["socks5://h:1", "socks5h://h:1", "SOCKS4://h:1"])
def test_a_socks_proxy_is_refused_with_a_remedy(proxy):
    with pytest.raises(ClusterError, match=r"^proxy-url: SOCKS proxies are not supported; give"):
        choose_proxy(SERVER, proxy, {})
    with pytest.raises(ClusterError, match=r"^HTTPS_PROXY: SOCKS proxies are not supported; give"):
        choose_proxy(SERVER, "", {"HTTPS_PROXY": proxy})


@pytest.mark.parametrize(
    "proxy", ["x", "http://", "ftp://h", "http://h:x", "http://[", "http://h:0"]
)
def test_a_proxy_is_a_url(proxy):
    with pytest.raises(ClusterError, match=r"^proxy-url: must be a URL such as"):
        choose_proxy(SERVER, proxy, {})


@pytest.mark.parametrize("variable", ["", "HTTP_PROXY"])
def test_an_error_names_the_proxy_without_its_password(variable, tmp_path):
    proxy = "http://someone:canary@127.0.0.1:9"
    fields = {"server": "http://192.0.2.1:6443"}
    file = written(tmp_path / "config", fields if variable else {**fields, "proxy-url": proxy})
    environ = {variable: proxy} if variable else {}
    cluster = connect(str(file), None, ConnectOptions(environ=environ))
    with pytest.raises(UnavailableError) as caught:
        list(cluster.list(POD, "n", {}))
    message = str(caught.value)
    assert "http://192.0.2.1:6443 (by the proxy http://127.0.0.1:9): " in message
    assert "canary" not in message
    assert "someone" not in message
