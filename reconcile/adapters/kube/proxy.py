"""Which proxy a server is reached through: the kubeconfig's, else the environment's, else none."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit


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
