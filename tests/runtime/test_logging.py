"""The log is one line of JSON per event, which controls no terminal."""

import io
import json

import pytest

from reconcile.runtime.logging import JsonLogger, escape_controls


def logged(**fields):
    stream = io.StringIO()
    JsonLogger(lambda: 0, stream).warning("failed", **fields)
    return stream.getvalue()


@pytest.mark.parametrize("character", ["\n", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028"])
def test_no_control_character_is_in_the_log_and_none_is_lost(character):
    line = logged(error=f"a{character}b")
    assert character not in line.removesuffix("\n")
    assert json.loads(line)["error"] == f"a{character}b"


def test_names_that_are_not_utf_8_are_escaped_too():
    line = logged(path="a\udcff\u202eb")
    assert json.loads(line)["path"] == "a\\udcff\u202eb"
    assert "\u202e" not in line


def test_other_characters_are_not_escaped():
    assert escape_controls("caf\u00e9 \u2192 \U0001f600") == "caf\u00e9 \u2192 \U0001f600"
