"""The file of events: complete, bounded, without secrets, whatever stands in its place."""

import asyncio
import shutil
import subprocess
import tracemalloc

import orjson
import pytest

from reconcile.runner import event_log
from reconcile.runner.event_log import (
    LARGEST_LINE,
    MOST_FILES,
    EventLog,
    encode_event,
)
from reconcile.runner.masking import Masker
from reconcile.runner.session_dir import SessionDir
from tests.runner.scripted import Log, eventually

CANARY = "canary-0123456789abcdef"


class Stage:
    def __init__(self, workspace):
        self.folder = workspace / ".session"
        self.logger = Log()
        self.dropped = []
        self.log = EventLog(
            SessionDir(workspace),
            Masker([CANARY]).mask,
            self.logger,
            lambda reason, number: self.dropped.extend([reason] * number),
        )

    def write(self, *events):
        async def write():
            for event in events:
                self.log.append(event)
            await self.log.flush()

        asyncio.run(write())

    def read(self, name="events.jsonl"):
        return [orjson.loads(line) for line in (self.folder / name).read_bytes().splitlines()]


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def delta(text, message="m1", kind="TEXT_MESSAGE_CONTENT"):
    return {"type": kind, "messageId": message, "delta": text}


def test_each_event_is_a_line_with_its_time(stage):
    stage.write({"type": "RUN_STARTED", "runId": "r"}, {"type": "CUSTOM", "value": [1, None]})
    started, custom = stage.read()
    assert started["time"].endswith("Z")
    assert {"type": "RUN_STARTED", "runId": "r"}.items() <= started.items()
    assert custom["value"] == [1, None]


def test_the_parts_of_a_message_are_joined_in_their_place(stage):
    end = {"type": "TEXT_MESSAGE_END", "messageId": "m1"}
    stage.write(delta("Hel"), delta("lo "), delta("world"), end)
    content, ended = stage.read()
    assert content["delta"] == "Hello world"
    assert ended["type"] == "TEXT_MESSAGE_END"


def test_messages_that_alternate_are_kept_apart(stage):
    stage.write(delta("a"), delta("1", "m2"), delta("b"), delta("2", "m2"))
    assert {(each["messageId"], each["delta"]) for each in stage.read()} == {
        ("m1", "ab"),
        ("m2", "12"),
    }


def test_reasoning_without_an_id_ends_with_the_next_event(stage):
    kind = "THINKING_TEXT_MESSAGE_CONTENT"
    stage.write({"type": kind, "delta": "a"}, {"type": kind, "delta": "b"}, {"type": "X"})
    assert [each.get("delta") for each in stage.read()] == ["ab", None]


def test_messages_that_never_end_hold_little_memory(stage):
    """What else is in their events could be a megabyte for each."""
    tracemalloc.start()
    try:
        for number in range(64):
            more = [str(index) for index in range(20_000)]
            stage.log.append({**delta("x", str(number)), "more": more})
        assert tracemalloc.get_traced_memory()[0] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_secret_that_is_divided_between_parts_is_masked(stage):
    stage.write(delta(CANARY[:9]), delta(CANARY[9:]), {"type": "TOOL", "args": {CANARY: [CANARY]}})
    text = (stage.folder / "events.jsonl").read_text()
    assert CANARY not in text
    assert CANARY[9:] not in text


def test_a_long_message_is_written_in_parts_that_divide_no_word(stage):
    words = [f"word-{number}" for number in range(10_000)]
    stage.write(*(delta(f"{word} ") for word in words))
    assert "".join(each["delta"] for each in stage.read()).split() == words
    assert len(stage.read()) > 1


def test_a_text_without_spaces_is_bounded_too(stage):
    stage.write(*(delta("x" * 1000) for _ in range(40)))
    assert sum(len(each["delta"]) for each in stage.read()) == 40_000


def test_what_the_agent_said_can_be_read_with_jq(stage):
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    stage.write(delta("Hello "), delta("world"), {"type": "RUN_FINISHED"})
    command = ["jq", "-r", 'select(.type == "TEXT_MESSAGE_CONTENT").delta']
    file = stage.folder / "events.jsonl"
    done = subprocess.run([*command, file], capture_output=True, text=True, check=True)
    assert done.stdout == "Hello world\n"


def test_events_are_written_within_a_second_without_a_flush(stage):
    async def write():
        stage.log.append({"type": "CUSTOM"})
        file = stage.folder / "events.jsonl"
        await eventually(lambda: file.exists() and file.read_bytes())

    asyncio.run(write())
    assert len(stage.read()) == 1


def test_files_are_rotated_and_their_number_and_size_are_bounded(stage, monkeypatch):
    monkeypatch.setattr(event_log, "FILE_BYTES", 20_000)
    for _ in range(MOST_FILES + 3):
        stage.write(*({"type": "CUSTOM", "value": "x" * 5_000} for _ in range(3)))
    names = {"events.jsonl", *(f"events.{number}.jsonl" for number in range(1, MOST_FILES))}
    assert {each.name for each in stage.folder.iterdir()} == names
    assert all((stage.folder / name).stat().st_size <= 20_000 for name in names)
    assert all(stage.read(name) for name in names)


def test_the_type_of_an_event_is_kept_whatever_comes_before_it():
    line = encode_event({"content": ["x" * 9_000] * 9, "type": "CUSTOM"}, "now", str)
    assert orjson.loads(line)["type"] == "CUSTOM"


def test_a_secret_at_the_place_where_a_text_is_cut_is_masked(stage):
    for before in (*range(16_350, 16_400, 5), *range(20_440, 20_490, 5)):
        stage.write({"type": "CUSTOM", "value": " " * before + CANARY + "x" * 9_000})
    assert "canary" not in (stage.folder / "events.jsonl").read_text()


def test_an_event_that_is_too_long_keeps_its_beginning():
    event = {"type": "TOOL_CALL_RESULT", "content": "begin" + "x" * 500_000}
    line = orjson.loads(encode_event(event, "now", str))
    assert line["content"].startswith("beginx")
    assert line["content"].endswith("…")


@pytest.mark.parametrize(
    "fields",
    [
        {"value": {str(number): "x" * 1000 for number in range(5000)}},
        {"value": [["x" * 500] * 900] * 900},
        {"value": 1 << 70},
        {"n" * 100_000: 1},
    ],
)
def test_no_line_is_longer_than_the_limit(fields):
    line = encode_event({"type": "CUSTOM", **fields}, "now", str)
    assert len(line) <= LARGEST_LINE
    assert orjson.loads(line)["type"] == "CUSTOM"


def test_what_is_nested_too_deeply_is_left_out():
    value: object = "bottom"
    for _ in range(200):
        value = [value]
    line = encode_event({"type": "CUSTOM", "value": value}, "now", str)
    assert b"bottom" not in line
    assert orjson.loads(line)["type"] == "CUSTOM"


def test_the_begin_of_a_line_that_a_killed_process_left_is_removed(stage):
    stage.write({"type": "A"})
    with (stage.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"type": "half')
    stage.write({"type": "B"})
    assert [each["type"] for each in stage.read()] == ["A", "B"]


def test_a_folder_that_cannot_be_used_stops_nothing_and_is_reported_once(stage):
    stage.folder.parent.rmdir()
    stage.write({"type": "A"}, {"type": "B"})
    stage.write({"type": "C"})
    assert stage.dropped == ["unwritable"] * 3
    assert stage.logger.events == ["events are not written"]
    stage.folder.parent.mkdir()
    stage.write({"type": "D"})
    assert [each["type"] for each in stage.read()] == ["D"]


def test_events_that_no_disk_takes_are_dropped_and_counted(stage):
    async def write():
        for _ in range(200):
            stage.log.append({"type": "CUSTOM", "value": ["x" * 10_000] * 6})
        await stage.log.flush()

    asyncio.run(write())
    assert stage.dropped.count("overflow") > 100
