import asyncio
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from reconcile.runner.endings import Ending, EndingOptions, Endings, Facts, decide
from reconcile.runner.runs import RunEnd, RunsState
from reconcile.runtime.logging import JsonLogger
from tests.controlplane.ports import free
from tests.runner.test_activity import mirror


@dataclass
class Session:
    """What the parts of a bridge say."""

    state: RunsState = field(default_factory=RunsState)
    has_open_run: bool = False
    is_delivered: bool = True
    has_started: bool = True
    failure: str = ""


def options(tmp_path, **more):
    values = {"runner_port": free(1)[0], "poll_seconds": 0.01, **more}
    return EndingOptions(JsonLogger(time.time_ns), tmp_path, "uid", **values)


def build(**more):
    return EndingOptions(JsonLogger(time.time_ns), Path("/nonexistent"), "uid", **more)


STOP = build(stop_on_run_finished=True, quiet_seconds=10, inactivity_seconds=3600)
INACTIVE = build(inactivity_seconds=60)
WELL = RunsState(finished=1, last_event=100.0, last_end=RunEnd(ok=True))
ERROR = RunsState(failed=1, last_end=RunEnd(ok=False, message="no key"), first_run_failed=True)


@pytest.mark.parametrize(
    ("settings", "facts", "reason"),
    [
        (build(), Facts(1e9), None),
        (build(), Facts(1e9, WELL, has_finished=True), None),
        (STOP, Facts(109, WELL, has_finished=True), None),
        (STOP, Facts(110, WELL, has_finished=True), "run-finished"),
        (STOP, Facts(110, WELL, has_finished=True, has_open_run=True), None),
        (STOP, Facts(110, WELL, has_finished=True, is_delivered=False), None),
        (STOP, Facts(110, WELL, has_finished=False), None),
        (build(), Facts(0, ERROR), "run-failed"),
        (STOP, Facts(0, ERROR, has_open_run=True), "run-failed"),
        (build(), Facts(0, delivery_failure="401"), "prompt-not-delivered"),
        (INACTIVE, Facts(59, is_delivered=True), None),
        (INACTIVE, Facts(60), "inactive"),
        (INACTIVE, Facts(160, WELL), "inactive"),
        (INACTIVE, Facts(159, WELL), None),
        (INACTIVE, Facts(160, WELL, last_use=110), None),
        (INACTIVE, Facts(1e9, has_open_run=True), None),
        (INACTIVE, Facts(1e9, is_delivered=False), None),
    ],
)
def test_a_session_ends_for_the_stated_reasons(settings, facts, reason):
    ending = decide(facts, settings)
    assert (ending and ending.reason) == reason


def test_the_message_is_that_of_the_run_or_the_delivery():
    assert decide(Facts(0, ERROR), STOP) == Ending("run-failed", "no key")
    failed = Facts(0, delivery_failure="the runner has answered 401")
    assert decide(failed, STOP) == Ending("prompt-not-delivered", "the runner has answered 401")


TIMES = st.floats(0, 1e6)
FACTS = st.builds(
    Facts,
    now=TIMES,
    runs=st.builds(RunsState, last_event=TIMES),
    has_open_run=st.booleans(),
    has_finished=st.booleans(),
    is_delivered=st.booleans(),
    last_use=TIMES,
)


@given(FACTS, st.booleans(), st.floats(1, 1e6), st.floats(0, 100))
def test_an_open_run_or_recent_use_never_ends_a_session(facts, stop, inactivity, quiet):
    settings = build(stop_on_run_finished=stop, inactivity_seconds=inactivity, quiet_seconds=quiet)
    assert decide(replace(facts, has_open_run=True), settings) is None
    recent = replace(facts, last_use=facts.now)
    ending = decide(recent, settings)
    assert ending is None or ending.reason == "run-finished"
    later = decide(replace(facts, now=facts.now + 1e7), settings)
    if facts.is_delivered and not facts.has_open_run:
        assert later is not None


def wait(endings, seconds=60):
    async def scenario():
        async with asyncio.timeout(seconds):
            return await endings.wait_for_end()

    return asyncio.run(scenario())


def is_waiting(endings):
    try:
        wait(endings, 0.3)
    except TimeoutError:
        return True
    return False


def test_a_session_ends_after_its_run_has_ended_well_and_a_quiet_moment(tmp_path):
    session = Session(replace(WELL, last_event=time.monotonic()))
    settings = options(tmp_path, stop_on_run_finished=True, quiet_seconds=0.1)
    assert wait(Endings(settings, session, session)).reason == "run-finished"


def test_a_bridge_that_is_started_again_in_the_quiet_moment_still_ends(tmp_path):
    session = Session(replace(WELL, last_event=time.monotonic()))
    settings = options(tmp_path, stop_on_run_finished=True, quiet_seconds=3600)
    assert is_waiting(Endings(settings, session, session))
    again = replace(settings, quiet_seconds=0.1)
    assert wait(Endings(again, Session(), Session())).reason == "run-finished"
    assert is_waiting(Endings(replace(again, pod_uid="another"), Session(), Session()))


def test_a_later_run_that_fails_is_not_the_end(tmp_path):
    settings = options(tmp_path, stop_on_run_finished=True, quiet_seconds=1e9)
    assert is_waiting(Endings(settings, Session(WELL), Session()))
    failed = replace(WELL, failed=1, last_end=RunEnd(ok=False))
    again = replace(settings, quiet_seconds=0)
    assert is_waiting(Endings(again, Session(failed), Session()))
    assert is_waiting(Endings(again, Session(), Session()))


def test_a_state_that_cannot_be_written_is_no_problem(tmp_path):
    settings = options(tmp_path / "absent", stop_on_run_finished=True, quiet_seconds=0)
    assert wait(Endings(settings, Session(WELL), Session())).reason == "run-finished"


def test_a_session_that_nobody_uses_ends(tmp_path):
    settings = options(tmp_path, inactivity_seconds=0.1)
    assert wait(Endings(settings, Session(), Session())) == Ending(
        "inactive",
        "no run, no event, no write to the workspace and no connection to the runner for 0.1 s",
    )


def test_the_time_until_the_runner_starts_is_no_time_without_use(tmp_path):
    session = Session(has_started=False)
    endings = Endings(options(tmp_path, inactivity_seconds=0.1), session, session)
    assert is_waiting(endings)
    session.has_started = True
    assert wait(endings).reason == "inactive"


def test_a_write_that_the_mirror_has_seen_keeps_a_session(tmp_path):
    with mirror(b'{"generation": 1, "writeAgeSeconds": 0.01}') as port:
        settings = options(tmp_path, inactivity_seconds=0.2, mirror_port=port)
        assert is_waiting(Endings(settings, Session(), Session()))


def test_a_mirror_that_does_not_answer_is_reported_once_and_keeps_no_session(tmp_path, capfd):
    settings = options(tmp_path, inactivity_seconds=0.5, mirror_port=free(1)[0])
    assert wait(Endings(settings, Session(), Session())).reason == "inactive"
    assert capfd.readouterr().err.count("the mirror does not answer") == 1


def test_a_clock_that_jumps_has_no_effect(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 4e9)
    settings = options(tmp_path, inactivity_seconds=3600, stop_on_run_finished=True)
    assert is_waiting(Endings(settings, Session(), Session()))
