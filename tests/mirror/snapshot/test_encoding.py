import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.mirror.snapshot.encoding import decode_text, encode_text


@given(st.binary())
def test_every_name_is_decoded_byte_for_byte(raw):
    name = os.fsdecode(raw)
    text = encode_text(name)
    assert os.fsencode(decode_text(text)) == raw
    assert text.encode().decode() == text
    assert text.isprintable() or not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)


@given(st.text())
def test_names_and_texts_correspond_one_to_one(text):
    try:
        name = decode_text(text)
    except ValueError:
        return
    assert encode_text(name) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain name-\xc3\xbc.txt", "plain name-ü.txt"),
        (b"100%", "100%25"),
        (b"two\nlines\ttab", "two%0Alines%09tab"),
        (b"latin-\xfc", "latin-%FC"),
        ("c1-\x85".encode(), "c1-%C2%85"),
        (b"\x7f", "%7F"),
    ],
)
def test_special_characters_are_escaped_byte_by_byte(raw, text):
    assert encode_text(os.fsdecode(raw)) == text


@pytest.mark.parametrize(
    "text", ["100%", "%zz", "%2f", "%41", "a\nb", "%c3%bc", "%C3%BC", "\ud800", "%25%"]
)
def test_a_non_canonical_encoding_is_rejected(text):
    with pytest.raises(ValueError, match=r"escaped|surrogates"):
        decode_text(text)
