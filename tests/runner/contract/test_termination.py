"""SIGTERM: what lets the runner end at once, and what holds its end up."""

import httpx
import pytest

from tests.runner.pods import SESSION

AT_ONCE_S = 8.0
"""Above the end of an idle runner on a busy machine, below that of one with an open run."""

HELD_UP_S = 2.0


@pytest.fixture
def held_up(pods):
    """A pod whose open run takes less time than by default, of the double alone."""
    with pods.running(DOUBLE_STOP_SECONDS="4") as running:
        yield running


def start_silent(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    assert not pod.runner.has_ended_after(1)
    return run


@pytest.mark.parametrize("runs", [0, 1])
def test_an_idle_runner_ends_at_once(pod, runs):
    for _ in range(runs):
        pod.client.run("Hello.")
    pod.runner.send_term()
    assert pod.runner.has_ended_after(AT_ONCE_S)
    assert pod.runner.wait() == 143


def test_an_open_run_holds_the_end_up_even_if_its_reader_hangs_up(held_up):
    run = start_silent(held_up)
    run.close()
    held_up.runner.send_term()
    assert not held_up.runner.has_ended_after(HELD_UP_S)
    assert held_up.runner.wait(90) == 143


def test_a_reader_that_stays_holds_the_end_up(held_up):
    run = start_silent(held_up)
    held_up.runner.send_term()
    assert not held_up.runner.has_ended_after(HELD_UP_S)
    with pytest.raises(httpx.ConnectError):
        held_up.client.get("/health")
    run.close()
    assert held_up.runner.wait(90) == 143


def test_an_interrupt_and_then_a_close_let_it_end_at_once(pod):
    run = start_silent(pod)
    pod.client.interrupt_until_end(run)
    pod.runner.send_term()
    assert pod.runner.has_ended_after(AT_ONCE_S)
    assert pod.runner.wait() == 143


def test_an_open_stream_of_events_holds_the_end_up(pod):
    pod.client.run("Hello.")
    with pod.client._client.stream("GET", f"/events/{SESSION}"):
        pod.runner.send_term()
        assert not pod.runner.has_ended_after(3)
    assert pod.runner.wait() == 143
