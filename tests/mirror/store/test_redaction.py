"""No part of a secret stays in the text of a server, however it is cut or encoded."""

from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.store.redaction import redact

SECRETS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=80)


@given(st.text(max_size=40), SECRETS, st.text(max_size=40), st.integers(8))
def test_no_part_of_a_secret_is_left(before: str, secret: str, after: str, cut: int) -> None:
    shown = redact(f"{before}{secret[:cut]}{after}", [secret])
    assert not any(secret[at : at + 8] in shown for at in range(len(secret) - 7))


@given(st.text(max_size=200))
def test_the_text_stays_in_one_line_of_limited_length(text: str) -> None:
    assert redact(text * 20, []).isprintable() or not text.isprintable()
    assert "\n" not in redact(text, [])
    assert len(redact(text * 20, [])) <= 601


def test_a_short_secret_does_not_hide_the_words_that_contain_it() -> None:
    assert redact("the latest test", ["test", ""]) == "the latest …"


def test_an_encoded_secret_is_removed() -> None:
    secret = "abcdefghijk/lmnopqrstuv+wx"
    assert redact(f"token={quote(secret, safe='')}&x", [secret]) == "token=…%2F…%2Bwx&x"


def test_signatures_and_headers_are_removed() -> None:
    sent = "AWS4-HMAC-SHA256 Credential=AKIAX/2026/s3, SignedHeaders=host, Signature=0a1b2c"
    shown = redact(f"got {sent}; X-Amz-Security-Token=abc&x Proxy: Basic dXNlcjpwYXNz", [])
    assert not [each for each in ("AKIAX", "0a1b2c", "abc", "dXNlcjpwYXNz") if each in shown]
    assert "SignedHeaders=host" in shown
