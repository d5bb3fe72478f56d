"""Masking of free text: what is masked, what is not, and that long texts take linear time."""

import pytest

from reconcile.core.mask.masker import Masker

CANARY = "c4nary-Zx81-value"


def mark(number: int) -> str:
    return f"\u2039masked #{number}\u203a"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{CANARY}@host/x",
        f"https://{CANARY}@host/x",
        f"postgres://app:{CANARY}/with/slash@db",
        f"see https://host/x?a=b&token={CANARY}#top",
        f"https://host/x?sig={CANARY}",
        f"API_TOKEN={CANARY} run",
        f'{{"password": "{CANARY}"}}',
        f'{{\\"password\\": \\"{CANARY}\\"}}',
        f"password: '{CANARY}'",
        f"config:\n  - api-key: {CANARY}\n",
        f"private_key: |\n  {CANARY}\n  {CANARY}\nnext: 1",
        f"run --token {CANARY} now",
        f"- name: API_TOKEN\n  value: {CANARY}",
        f'{{"name":"API_TOKEN","value":"{CANARY}"}}',
        f"Authorization: Basic {CANARY}",
        f"curl -H 'authorization: {CANARY} {CANARY}'",
        f"Bearer {CANARY}",
        f"Cookie: session={CANARY}; secret={CANARY}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
        f"https://hooks.slack.com/services/{CANARY}",
        f"user: bob, pass: {CANARY}",
        f"pwd={CANARY}",
        f"OPENAI_KEY={CANARY}",
        f"docker login -u bob -p {CANARY}",
        f"podman login --username bob -p '{CANARY}' registry.example",
    ],
)
def test_a_secret_in_free_text_is_hidden(text):
    assert CANARY not in Masker().mask_text(text)
    assert mark(1) in Masker().mask_text(text)


@pytest.mark.parametrize(
    "token",
    [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
        "glpat-abcDEF1234567890abcd",
        "xoxb-123456789012-abcdefABCDEF",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        "ya29.a0AfH6SMBabcdefghij",
        "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
        "sk-proj-abcdefghijklmnopqrst",
        "npm_abcdefghijklmnopqrstuvwxyz0123456789",
        "pypi-AgEIcHlwaS5vcmcCJDU3",
        "hf_abcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "sha256~abcdefghijklmnopqrstuvwxyz0123456789",
    ],
)
def test_a_token_is_recognised_by_its_format(token):
    assert Masker().mask_text(f"use {token}, then go") == f"use {mark(1)}, then go"


def test_an_access_key_without_a_prefix_is_recognised_by_its_context():
    key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    assert Masker().mask_text(f"the aws secret is {key}") == f"the aws secret is {mark(1)}"


@pytest.mark.parametrize(
    "text",
    [
        "ssh://git@github.com/org/repo and git@github.com:org/repo",
        "ssh://alice@host/x",
        "http://host:8080/path@v1",
        "spec.containers[0].env[2].valueFrom.secretKeyRef: Required value",
        "token: Invalid value",
        "Pod team-a/fix-auth-token: connection refused",
        "team-a/api-token: is held",
        "desired/team-a/api-token.yaml:3:7: unknown field",
        "secret.yaml.j2:12: unexpected end",
        "Then mend auth: users cannot log in.",
        "MAX_TOKENS=4000 TOKENIZER=fast",
        "secretName=foo tokenPath: /x",
        'the token "',
        "token=",
        "token: |",
        'token=""',
        "https://api.example.org/items?code=image&key=name",
        "AUTH_ENABLED=true TOKEN_LIMIT=100 pwd=/home/bob",
        "token: main, password: none, use_auth=1",
        "task-force-of-the-many-and-brave",
    ],
)
def test_ordinary_text_is_not_masked(text):
    assert Masker().mask_text(text) == text


def test_a_url_without_a_password_hides_its_user_alone():
    assert Masker().mask_text("https://u5er:@host") == f"https://{mark(1)}@host"


HOSTILE = [
    *("a", "A_", "token=", "token: ", "token='", "://", "://a:", "://aaaa:a@", "eyJ", "eyJa."),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-----BEGIN PRIVATE KEYPRIVATE KEY"),
    *("bearer ", "secret ", "aws secret=", "ghp_", "SG.aaaaaaaaaa", "name: A_TOKEN ", "--token "),
    *("authorization: ", "?key=", "hooks.slack.com/a/", '"', '\\"', "password: |\n ", "\n", " "),
    *("machine a login b password ", "machine ", "curl -u a:", "curl ", "mysql ", "mysql -p"),
    *("Private-Lines: 1\n", "token is ", "0123456789:AA", "M" * 24 + ".aaaaaa.", "/webhooks/1/"),
    *("dt0c01.", "abc8Q~", "PMAK-" + "a" * 20, "dp.pt.", "key-", "sshpass -p ", "-u a"),
    *(f"{mark(1)} token=a ", "canary-value", "canary-valu", "{", "["),
    *(
        "redis-cli ",
        "redis-cli -a ",
        "openssl -k ",
        "smbclient -U a%",
        "1a2b3c as ",
        "1a2b3c as a ",
    ),
    *("credentials: a / ", "<a>", "</", "<password>", "<token a", "set -x ", "setenv A_TOKEN "),
    *("$6$", "$6$aaaaaaaaaaaaaaaa", "a:b@tcp(", "jdbc:oracle:thin:a/", "basic a1=", "Basic "),
    *("password for ", "password 1", "default ", "default password ", "password:\n- a", "\n- a"),
    *('passwords: ["', '"""', "`", "]", "**", "name='A_TOKEN' value=", "---- BEGIN "),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_long_hostile_text_neither_blocks_nor_hides_a_later_secret(unit):
    """With quadratic time, this would take hours."""
    masker = Masker()
    masker.learn({"stringData": {"API_TOKEN": "canary-value"}})
    text = unit * (2**18 // len(unit)) + f"\nAPI_TOKEN={CANARY}"
    assert CANARY not in masker.mask_text(text)


def test_a_megabyte_of_everything_hostile_is_masked():
    text = "".join(unit * 32 for unit in HOSTILE)
    text = text * (2**20 // len(text) + 1) + f"\nAPI_TOKEN={CANARY}"
    assert CANARY not in Masker().mask_text(text)
