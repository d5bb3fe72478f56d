from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from reconcile.runner.credentials import (
    PUBLIC_FIELDS,
    Credentials,
    CredentialSource,
    answer_request,
    build_answer,
    parse_sources,
)

PROVIDERS = ["github", "gitlab", "jira", "google", "gerrit", "coderabbit", "kubeconfig", "mcp/jira"]


def mount(directory, provider, **fields):
    folder = directory / provider
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in fields.items():
        (folder / name).write_text(text)


def answer_for(credentials, provider) -> tuple[int, Any]:
    answer = answer_request(credentials, provider)
    return answer.status, answer.body


def declare(directory, provider, *names, secret="creds"):
    source = CredentialSource(provider, secret, {name: f"{name}-key" for name in names})
    return Credentials(directory, (source,))


@pytest.mark.parametrize(
    ("provider", "fields", "answer"),
    [
        (
            "github",
            {"token": "t", "userName": "Ann", "email": "a@b", "expiresAt": "2027-01-01T00:00:00Z"},
            {
                "token": "t",
                "userName": "Ann",
                "email": "a@b",
                "provider": "github",
                "expiresAt": "2027-01-01T00:00:00Z",
            },
        ),
        (
            "github",
            {"token": "t"},
            {"token": "t", "userName": "", "email": "", "provider": "github"},
        ),
        (
            "gitlab",
            {"token": "t", "instanceUrl": "https://git.example.com"},
            {
                "token": "t",
                "userName": "",
                "email": "",
                "provider": "gitlab",
                "instanceUrl": "https://git.example.com",
            },
        ),
        (
            "jira",
            {"url": "https://j.example.com", "email": "a@b", "apiToken": "t"},
            {"url": "https://j.example.com", "email": "a@b", "apiToken": "t"},
        ),
        (
            "google",
            {"accessToken": "a", "refreshToken": "r", "scopes": '["drive", "docs"]'},
            {
                "accessToken": "a",
                "refreshToken": "r",
                "email": "",
                "expiresAt": "",
                "scopes": ["drive", "docs"],
            },
        ),
        ("google", {"token": "{}", "email": "a@b"}, {"token": "{}", "email": "a@b"}),
        (
            "gerrit",
            {"url": "https://g.example.com", "username": "ann", "httpToken": "t"},
            [
                {
                    "instanceName": "default",
                    "url": "https://g.example.com",
                    "authMethod": "http_basic",
                    "username": "ann",
                    "httpToken": "t",
                }
            ],
        ),
        (
            "gerrit",
            {"url": "https://g.example.com", "instanceName": "main", "gitcookiesContent": "c"},
            [
                {
                    "instanceName": "main",
                    "url": "https://g.example.com",
                    "authMethod": "git_cookies",
                    "gitcookiesContent": "c",
                }
            ],
        ),
        ("coderabbit", {"apiKey": "k"}, {"apiKey": "k"}),
        (
            "kubeconfig",
            {"token": "apiVersion: v1"},
            {"token": "apiVersion: v1", "provider": "kubeconfig"},
        ),
        (
            "mcp/web-search",
            {"apiKey": "k"},
            {"serverName": "web-search", "fields": {"apiKey": "k"}},
        ),
    ],
)
def test_an_answer_has_the_shape_of_the_platform(provider, fields, answer):
    assert build_answer(provider, fields) == answer


@given(
    st.sampled_from([*PROVIDERS, "other"]),
    st.dictionaries(
        st.sampled_from(["token", "apiToken", "accessToken", "apiKey", "url", "httpToken"]),
        st.text(min_size=1),
    ),
)
def test_an_ssh_key_is_in_no_answer(provider, fields):
    keys = {"sshKey": "canary-key", "knownHosts": "canary-hosts"}
    answer = build_answer(provider, {**fields, **keys})
    assert b"canary" not in orjson.dumps(answer)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_fields_that_are_not_enough_are_no_answer(provider):
    assert build_answer(provider, {}) is None
    assert build_answer(provider, {"sshKey": "k"}) is None


def test_a_secret_that_is_rotated_is_in_the_next_answer(tmp_path):
    credentials = declare(tmp_path, "github", "token")
    mount(tmp_path, "github", token="first\n")
    assert answer_for(credentials, "github")[1]["token"] == "first"
    mount(tmp_path, "github", token="second")
    assert answer_for(credentials, "github")[1]["token"] == "second"


def test_a_provider_that_is_not_declared_says_where_to_declare_it(tmp_path):
    status, body = answer_for(Credentials(tmp_path), "jira")
    assert status == 404
    assert "`credentials`" in body["error"]
    assert "provider: jira" in body["error"]


def test_an_unknown_provider_lists_the_known_ones(tmp_path):
    status, body = answer_for(Credentials(tmp_path), "../" * 1000)
    assert status == 404
    assert "coderabbit, gerrit, github" in body["error"]
    assert len(body["error"]) < 400


def test_a_missing_secret_is_named_with_its_keys(tmp_path):
    status, body = answer_for(declare(tmp_path, "github", "token", secret="robots"), "github")
    assert status == 404
    assert "Secret robots" in body["error"]
    assert "token-key (for token)" in body["error"]


def test_a_path_in_a_provider_reads_no_other_file(tmp_path):
    (tmp_path / "token").write_text("outside")
    credentials = declare(tmp_path / "mounted", "github", "token")
    assert answer_request(credentials, "github/../..").status == 404


def test_names_and_addresses_are_no_secrets(tmp_path):
    mount(tmp_path, "jira", url="https://j.example.com", email="a@example.com", apiToken="canary")
    assert list(declare(tmp_path, "jira", "url", "email", "apiToken").list_secrets()) == ["canary"]
    assert "token" not in PUBLIC_FIELDS


def test_an_answer_is_not_shown_by_accident(tmp_path):
    mount(tmp_path, "github", token="canary")
    assert "canary" not in repr(answer_request(declare(tmp_path, "github", "token"), "github"))


def test_the_credential_of_a_host_is_that_of_its_repositories(tmp_path):
    text = orjson.dumps(
        [
            {"provider": "github", "secretName": "a", "keys": {"token": "token"}},
            {"provider": "gitlab", "secretName": "b", "host": "git.example.com"},
            {"provider": "mcp/web", "secretName": "c"},
        ]
    ).decode()
    credentials = Credentials(tmp_path, parse_sources(text))
    assert credentials.find_for_host("github.com").secret_name == "a"
    assert credentials.find_for_host("git.example.com").secret_name == "b"
    assert credentials.find_for_host("gitlab.com") is None
    assert credentials.find_for_host("") is None
    assert parse_sources("") == ()


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '"x"'])
def test_sources_that_are_no_list_are_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_sources(text)
