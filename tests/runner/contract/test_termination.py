"""SIGTERM.

How long an open run takes shows in what has ended after a few seconds: its own time is over ten.
"""

import httpx
import pytest

from tests.runner.pods import SESSION

PROMPT_END_S = 8.0
"""Well above the end of an idle runner, well below that of one with an open run."""


def start_silent(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    pod.runner.has_ended_after(1)
    return run


@pytest.mark.parametrize("runs", [0, 1])
def test_an_idle_runner_ends_at_once(pod, runs):
    for _ in range(runs):
        pod.client.run("Hello.")
    pod.runner.send_term()
    assert pod.runner.has_ended_after(PROMPT_END_S)
    assert pod.runner.wait() == 143


def test_an_open_run_holds_the_end_up_even_if_its_reader_hangs_up(pod):
    run = start_silent(pod)
    run.close()
    pod.runner.send_term()
    assert not pod.runner.has_ended_after(PROMPT_END_S)
    assert pod.runner.wait(90) == 143


def test_a_reader_that_stays_holds_the_end_up(pod):
    run = start_silent(pod)
    pod.runner.send_term()
    assert not pod.runner.has_ended_after(PROMPT_END_S)
    with pytest.raises(httpx.ConnectError):
        pod.client.get("/health")
    run.close()
    assert pod.runner.wait(90) == 143


def test_an_interrupt_and_then_a_close_let_it_end_at_once(pod):
    run = start_silent(pod)
    assert pod.client.interrupt().is_success
    run.wait()
    pod.runner.send_term()
    assert pod.runner.has_ended_after(PROMPT_END_S)
    assert pod.runner.wait() == 143


def test_an_open_stream_of_events_holds_the_end_up(pod):
    pod.client.run("Hello.")
    with pod.client._client.stream("GET", f"/events/{SESSION}"):
        pod.runner.send_term()
        assert not pod.runner.has_ended_after(3)
    assert pod.runner.wait() == 143
