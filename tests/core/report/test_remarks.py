"""What containers, nodes and servers wrote is one line of words."""

import json

import pytest

from reconcile.core.lifecycle.containers import Remark
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.mask.masker import Masker
from reconcile.core.model import SessionId, SessionState
from reconcile.core.report.remarks import format_remark, format_word
from reconcile.core.report.status import NextStep, StatusRow, format_status
from reconcile.mirror.model import Complete, Partial
from reconcile.mirror.sidecar.termination import TerminationMessage, encode_termination_message


def words(output, masker=None):
    return format_remark(Remark("", output), masker or Masker())


def flush(*args, **fields):
    return words(encode_termination_message(TerminationMessage(*args, **fields)).decode())


def test_a_remark_without_output_is_its_text_and_an_empty_one_is_empty():
    assert format_remark(Remark("container runner ended"), Masker()) == "container runner ended"
    assert format_remark(Remark("container runner", " \n "), Masker()) == "container runner"
    assert format_remark(Remark(""), Masker()) == ""


LACKING = "the last generation is 17 and lacks 3 files with 4096 bytes"


@pytest.mark.parametrize(
    ("outcome", "missing", "reason", "expected"),
    [
        (
            "flushed",
            Complete(),
            "",
            "everything is stored; the last generation is 17",
        ),
        (
            "flushed",
            Complete(),
            "2 files are beyond --max-files",
            "everything is stored: 2 files are beyond --max-files; the last generation is 17",
        ),
        (
            "partial",
            Partial(3, 4096),
            "the time was over",
            f"not everything is stored: the time was over; {LACKING}",
        ),
        (
            "failed",
            Complete(),
            "no answer",
            "the last changes are not stored: no answer; the last generation is 17",
        ),
        (
            "late",
            Complete(),
            "no answer",
            "the last changes are not stored in time: no answer; the last generation is 17",
        ),
        (
            "fenced",
            Complete(),
            "pod b wrote",
            "another pod has taken the workspace over: pod b wrote; the last generation is 17",
        ),
    ],
)
def test_the_mirrors_termination_message_is_worded(outcome, missing, reason, expected):
    assert flush(outcome, 17, missing, 24.1, reason) == expected


REFUSED = {"time": "2026-01-31T12:00:00Z", "level": "warning", "event": "failed"}
REFUSED |= {"error": "the store refused the key", "reason": "DeniedError"}
RETRIED = {"time": "2026-01-31T12:00:00Z", "level": "warning", "event": "store request retried"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([RETRIED, REFUSED], "failed: the store refused the key"),
        ([{"level": "ERROR", "msg": "bad"}, {"level": "info", "msg": "shutting down"}], "bad"),
        ([{"level": "info", "message": "shutting down"}], "shutting down"),
        ([{"type": "error", "error": {"type": "x", "message": "overloaded"}}], "overloaded"),
        ([{"event": "", "msg": "said", "detail": ["one", 2, None]}], "said: one, 2, null"),
        ([{"code": 3, "state": {"ok": False}}], "code=3, state=ok=false"),
        (["one", {"a": {"b": {"c": {"d": {"e": 1}}}}}], "a=b=c=d=…"),
        ([[{"msg": "one"}, {"msg": "two"}]], "one, two"),
        ([{"outcome": "partial"}], "outcome=partial"),
        (
            [{"outcome": ["flushed"], "generation": 1, "reason": ""}],
            "outcome=flushed, generation=1",
        ),
    ],
)
def test_json_becomes_words(lines, expected):
    shown = words("\n".join(json.dumps(line) for line in lines) + "\n")
    assert shown.removesuffix(", reason=") == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Traceback:\n  File x\nValueError: no\n", "Traceback: | File x | ValueError: no"),
        ('{"level":"error"}\nthe end', '{"level":"error"} | the end'),
        ("3", "3"),
        ("{", "{"),
        ("a\x00b\x1b[31mred\u202e", "a\\x00b\\x1b[31mred\\u202e"),
        ("tab\there  and\u2028there", "tab here and | there"),
        ("::error::owned", "\\x3a:error::owned"),
        ("[" * 4096, f"{'[' * 200} … {'[' * 100}"),
    ],
)
def test_other_text_is_one_escaped_line(output, expected):
    assert words(output) == expected


def test_a_long_line_is_cut_in_its_middle_and_of_many_lines_the_last_are_kept():
    assert words("x" * 2000 + "y" * 2000) == f"{'x' * 200} … {'y' * 100}"
    assert words("x" * 300) == "x" * 300
    shown = words("\n".join(f"line {number} of the log" for number in range(200)))
    assert shown.startswith("… | line 18")
    assert shown.endswith(" | line 199 of the log")
    assert len(shown) < 320


def test_a_reason_is_one_short_word():
    assert format_word("OOMKilled\n", Masker()) == "OOMKilled"
    assert format_word("x" * 100, Masker()) == "x" * 80 + "…"


SECRET = "c4n4ry-5f0e8d1b7a"


@pytest.mark.parametrize(
    "output",
    [
        f"password={SECRET}",
        f"API_TOKEN: {SECRET}",
        json.dumps({"password": SECRET}),
        json.dumps({"api-key": SECRET}),
        json.dumps({"name": "API_TOKEN", "value": SECRET}),
        json.dumps({"a": {"env": [{"name": "API_TOKEN", "value": SECRET}]}}),
        json.dumps({"error": {"request": {"headers": {"authorization": f"Bearer {SECRET}"}}}}),
        json.dumps({"msg": json.dumps({"password": SECRET})}),
        f"https://user:{SECRET}@example.com/repo.git",
    ],
)
def test_what_looks_like_a_secret_is_masked(output):
    assert "c4n4ry" in output
    assert "c4n4ry" not in words(output)


@pytest.mark.parametrize(
    "output",
    [
        f"said {SECRET} and ended",
        json.dumps({"msg": f"said {SECRET}"}),
        json.dumps({SECRET: "x"}),
        "".join(f"\\u{ord(char):04x}" for char in SECRET).join(['{"msg":"', '"}']),
        "x " * 140 + SECRET + " end",
    ],
)
def test_a_known_secret_is_masked_also_where_the_text_is_cut(output):
    masker = Masker()
    masker.learn({"kind": "Pod", "spec": {"containers": [{"env": [secret_variable()]}]}})
    assert "c4n4ry" not in words(output, masker)


def secret_variable():
    return {"name": "API_TOKEN", "value": SECRET}


def row(number, step):
    session = SessionId("team-a", f"s{number}")
    return StatusRow(session, SessionState.RUNNING, Phase.FAILED, "Error", next_step=step)


def test_how_sessions_go_on_is_said_once_for_all_of_them():
    rows = [row(number, NextStep.START_AGAIN) for number in range(7)]
    *_, blank, again, replaced = format_status(
        [*rows, row(8, NextStep.RETRY), row(9, NextStep.NONE)], Masker()
    ).splitlines()
    assert blank == ""
    assert again == (
        "team-a/s0, team-a/s1, team-a/s2, team-a/s3, team-a/s4 and 2 more: "
        f"{NextStep.START_AGAIN.value}"
    )
    assert replaced == f"team-a/s8: {NextStep.RETRY.value}"
