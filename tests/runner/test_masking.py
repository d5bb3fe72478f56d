import base64
import json
import string
from urllib.parse import quote

import hypothesis.strategies as st
import pytest
from hypothesis import given

from reconcile.runner.masking import MASK, Masker

CANARY = 'cnry-7Qx/9+Zt"w\\K3 é=end-4f8a1b'

SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=12)
TOKENS = st.text(string.ascii_letters + string.digits + "-_", min_size=12, max_size=80)
TEXTS = st.text(max_size=40)


def basic(user, token):
    return base64.b64encode(f"{user}:{token}".encode()).decode()


@pytest.mark.parametrize(
    "show",
    [
        lambda token: f"fatal: {token}.",
        lambda token: f"fatal: {token.splitlines()[0]}.",
        lambda token: json.dumps({"error": f"token {token} is bad"}),
        lambda token: json.dumps(json.dumps({"error": token})),
        lambda token: json.dumps({"error": token}, ensure_ascii=False),
        lambda token: f"cannot clone https://x:{quote(token, safe='')}@github.com/a/b",
        lambda token: f"GET /?key={quote(token)}",
        lambda token: token[:9] + "\n   " + token[9:],
    ],
)
def test_a_known_secret_is_masked_in_each_form(show):
    masked = Masker([CANARY]).mask(show(CANARY))
    assert MASK in masked
    for part in (CANARY, quote(CANARY, safe=""), json.dumps(CANARY)[1:-1], "4f8a1b"):
        assert part not in masked


@given(TEXTS, SECRETS, TEXTS)
def test_no_text_shows_a_secret(before, secret, after):
    masked = Masker([secret]).mask(before + secret + after)
    assert secret not in masked


@given(TOKENS, st.text(string.ascii_letters, max_size=20), st.booleans())
def test_base64_of_a_user_and_a_token_does_not_show_the_token(token, user, is_url_safe):
    encoded = basic(user, token)
    text = encoded.replace("+", "-").replace("/", "_") if is_url_safe else encoded
    masked = Masker([token]).mask(f"header: {text}")
    assert text not in masked
    assert len(masked) < len(f"header: {text}") - len(token) // 2


@given(TOKENS, st.data())
def test_a_secret_is_masked_where_lines_break_it(token, data):
    places = data.draw(st.sets(st.integers(1, len(token) - 1), min_size=1, max_size=5))
    separator = data.draw(st.sampled_from(["\n", "\r\n", "\\n", "\n  ", "\\\\n"]))
    text = "".join(separator + char if i in places else char for i, char in enumerate(token))
    assert Masker([token]).mask(f"a {text} b") == f"a {MASK} b"


@given(st.lists(TOKENS, min_size=1, max_size=4), st.lists(TEXTS, max_size=3))
def test_masking_twice_changes_nothing(secrets, texts):
    masker = Masker(secrets)
    once = masker.mask(" ".join([*texts, *secrets]))
    assert all(secret not in once for secret in secrets)
    assert masker.mask(once) == once


@given(st.text(max_size=5))
def test_a_short_value_is_not_masked(secret):
    assert Masker([secret]).mask("a b c d e f") == "a b c d e f"


def test_a_secret_that_was_rotated_out_is_still_masked():
    masker = Masker(["canary-first-1"])
    masker.learn(["canary-second-2"])
    assert masker.mask("canary-first-1 canary-second-2") == f"{MASK} {MASK}"


def test_one_line_of_a_key_is_masked_and_words_of_a_document_are_not():
    kubeconfig = (
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n"
        "    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0\nusers: []\n"
    )
    masker = Masker([kubeconfig])
    assert masker.mask("clusters: apiVersion: v1") == "clusters: apiVersion: v1"
    assert "LS0tLS1CRUdJTiBDRVJUSUZ" not in masker.mask("error: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://ann:pw@host/a", f"https://{MASK}@host/a"),
        ("see ghp_0123456789abcdefghij", f"see {MASK}"),
        ("key\\nsk-proj-01234567890123", f"key\\n{MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ('"Authorization": "abcdef"', f'"Authorization": "{MASK}"'),
        ("uses basic dXNlcjpwYXNzd29yZA==", f"uses basic {MASK}"),
        ("AKIAIOSFODNN7EXAMPLE is", f"{MASK} is"),
        (f"{'eyJhbGciOiJI'}.{'eyJzdWIiOiIx'}.c2ln", MASK),
    ],
)
def test_the_usual_forms_of_tokens_are_masked_although_nobody_named_them(text, masked):
    assert Masker().mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "basic configuration of the task-management-system-version",
        "the token authentication of disk-usage-of-the-server",
        "https://github.com/a/b and git@github.com:a/b",
        "MAKIAVELLI and task-1-of-many-others",
    ],
)
def test_words_are_not_masked(text):
    assert Masker(["ab"]).mask(text) == text


def test_a_long_text_without_secrets_is_unchanged():
    text = "word \n" * 200_000
    assert Masker([CANARY, "canary-second-2"]).mask(text) == text
