"""URLs of repositories, and what the error output of git means."""

import pytest

from reconcile.runner.clone_errors import explain_failure
from reconcile.runner.credentials import CredentialSource
from reconcile.runner.remote import Access, RemoteError, check_host, parse_remote
from reconcile.runtime.git import GitResult


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/a/b.git", ("https", "github.com", "https://github.com/a/b.git")),
        (
            "https://u:p@H.Example.com:8443/a",
            ("https", "h.example.com", "https://H.Example.com:8443/a"),
        ),
        ("https://host./a", ("https", "host", "https://host./a")),
        ("http://[::1]:80/a", ("http", "::1", "http://[::1]:80/a")),
        ("git://host/a", ("git", "host", "git://host/a")),
        ("ssh://git:pw@host:22/a", ("ssh", "host", "ssh://git@host:22/a")),
        ("git@github.com:a/b.git", ("ssh", "github.com", "git@github.com:a/b.git")),
    ],
)
def test_a_url_is_parsed_and_loses_its_password(url, expected):
    remote = parse_remote(url)
    assert (remote.protocol, remote.host, remote.url) == expected
    assert "p" not in repr(remote.password) or remote.password in {"p", "pw"}


def test_no_password_is_in_a_representation():
    assert "canary" not in repr(parse_remote("https://canary:canary@host/x"))


@pytest.mark.parametrize("pattern", ["github.com", "*.com", "GitHub.com", "*"])
def test_a_pattern_allows_a_host(pattern):
    check_host(parse_remote("git@GitHub.com:a/b"), ("gitlab.com", pattern))


@pytest.mark.parametrize("host", ["evilgithub.com", "github.com.evil.org", "api.github.com"])
def test_other_hosts_are_refused(host):
    with pytest.raises(RemoteError, match="the policy does not allow repositories of"):
        check_host(parse_remote(f"https://{host}/x"), ("github.com",))


def explain(text, url="https://github.com/a/b", source=None, fields=None):
    access = Access(parse_remote(url), source, fields or {})
    return explain_failure(GitResult(128, b"", text.encode()), access, "")


@pytest.mark.parametrize(
    "text",
    [
        "fatal: unable to access 'https://h/': Could not resolve host: h",
        "fatal: unable to access 'https://h/': Recv failure: Connection reset by peer",
        "error: RPC failed; curl 92 HTTP/2 stream 5 was not closed cleanly\nfatal: early EOF",
        "fatal: unable to access 'https://h/': The requested URL returned error: 503",
        "fatal: unable to access 'https://h/': The requested URL returned error: 429",
        "ssh: connect to host h port 22: Connection refused\nfatal: Could not read",
        "kex_exchange_identification: read: Connection reset by peer",
        "fatal: unable to access 'https://h/certificate/': Could not resolve host: certificate.h",
        "ssh: Could not resolve hostname certificate.h: Temporary failure in name resolution",
        "error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred",
    ],
)
def test_what_may_pass_by_itself(text):
    assert explain(text).may_pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fatal: unable to access 'x': The requested URL returned error: 403", "it is private"),
        ("fatal: repository 'https://h/' not found", "it does not exist, or is private"),
        ("ERROR: Repository not found.\nfatal: Could not read from remote", "it does not exist"),
        ("fatal: write error: No space left on device", "write error: No space left on device"),
        ("No user exists for uid 1001\nfatal: Could not read", "ssh needs a user name"),
        ("error: index-pack died of signal 9\nfatal: early EOF", "git was killed, most likely"),
        ("fatal: transport 'ext' not allowed", "transport 'ext' not allowed"),
        ("", "git ended with exit code 128"),
    ],
)
def test_what_does_not_pass_by_itself(text, reason):
    failure = explain(text)
    assert failure.reason.startswith(reason)
    assert not failure.may_pass


def test_what_the_server_says_of_itself_decides_nothing():
    said = "remote: fatal: Authentication failed\nremote: Connection reset\nfatal: no such thing"
    failure = explain(said)
    assert (failure.reason, failure.may_pass) == ("no such thing", False)


def test_the_cause_is_said_and_not_the_advice_after_it():
    text = "ssh: connect to host h port 22: No route to host\nfatal: Could not read from remote"
    assert explain(text).reason == "ssh: connect to host h port 22: No route to host"


def test_a_password_over_http_is_refused_with_advice():
    source = CredentialSource("github", "git", {}, "github.com")
    text = "fatal: could not read Username for 'http://github.com': terminal prompts disabled"
    failure = explain(text, "http://github.com/a", source, {"token": "t"})
    assert "write a URL with https://" in failure.reason


def test_gerrit_has_a_field_of_its_own():
    source = CredentialSource("gerrit", "review", {"httpToken": "http"}, "review.example.com")
    text = "fatal: could not read Username for 'https://x': terminal prompts disabled"
    reason = explain(text, "https://review.example.com/a", source).reason
    assert reason == "it is private: Secret `review` has no key `http`, which would be used"
