"""The log never keeps the program waiting, and has no control characters."""

import io
import json
import os
import threading
from collections.abc import Iterator

import pytest

from reconcile.runtime import logging
from reconcile.runtime.logging import JsonLogger, escape_controls


class Pipe:
    """A pipe as the log of a process, whose reader may be slow."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.stream = os.fdopen(self.writer, "w")
        self.logger = JsonLogger(lambda: 0, self.stream)

    def fill(self) -> int:
        """Fill it; returns the number of bytes."""
        os.set_blocking(self.writer, False)
        size = 0
        for piece in (b"x" * 4096, b"x"):
            try:
                while True:
                    size += os.write(self.writer, piece)
            except BlockingIOError:
                pass
        os.set_blocking(self.writer, True)
        return size

    def read(self) -> list[dict[str, object]]:
        """Read the complete lines."""
        data = os.read(self.reader, 1 << 20)
        return [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    monkeypatch.setattr(logging, "_OUTPUT", logging._Output())
    monkeypatch.setattr(logging, "_READER_TIMEOUT_MS", 50)
    made = Pipe()
    yield made
    made.stream.close()
    os.close(made.reader)


def test_a_log_that_is_not_read_blocks_nothing_and_says_what_it_dropped(pipe: Pipe) -> None:
    size = pipe.fill()
    for _ in range(1000):
        pipe.logger.info("lost")
    os.read(pipe.reader, size)
    pipe.logger.info("again")
    pipe.logger.info("as before")
    events = [(line["event"], line.get("lines")) for line in pipe.read()]
    assert events == [("log lines dropped", 1000), ("again", None), ("as before", None)]


def test_a_slow_reader_loses_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "_READER_TIMEOUT_MS", 20_000)
    pipe.fill()
    threading.Timer(0.1, os.read, (pipe.reader, 1 << 20)).start()
    pipe.logger.info("waited")
    assert [line["event"] for line in pipe.read()] == ["waited"]


def test_a_line_that_was_cut_is_ended_before_the_next(pipe: Pipe) -> None:
    size = pipe.fill()
    os.read(pipe.reader, 8192)
    pipe.logger.info("too long", text="y" * 100_000)
    os.read(pipe.reader, size)
    pipe.logger.info("again")
    assert [line["event"] for line in pipe.read()] == ["log lines dropped", "again"]


def test_a_long_line_is_written_whole(pipe: Pipe) -> None:
    pipe.logger.info("long", text="y" * 30_000)
    assert [len(str(line["text"])) for line in pipe.read()] == [30_000]


def test_a_reader_that_is_gone_stops_nothing(pipe: Pipe) -> None:
    os.close(pipe.reader)
    for _ in range(3):
        pipe.logger.warning("not read")
    pipe.reader = os.dup(pipe.writer)


def test_a_process_without_standard_error_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    JsonLogger(lambda: 0).info("nowhere")


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
