"""Runs: their order, how they end, and what is known of them."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from reconcile.runner.client import RunnerClient, RunnerError
from reconcile.runner.metrics import Metrics
from reconcile.runner.runs import LONGEST_QUEUE, QueueFullError, Runs, RunsOptions
from tests.runner.scripted import (
    BREAK,
    STARTED,
    WELL,
    Log,
    encode,
    eventually,
    finished,
    scripted_runner,
)

ERROR = encode(type="RUN_ERROR", message="the model has no key canary-token")
CUT = encode(type="RUN_FINISHED", runId="r")


class Sink:
    """Keeps events."""

    def __init__(self):
        self.types = []
        self.flushed = 0

    def append(self, fields):
        self.types.append(fields["type"])

    async def flush(self):
        self.flushed = len(self.types)


def body(name="r"):
    return {"threadId": "s", "runId": name, "messages": [{"content": "x"}]}


class Stage:
    """Runs against a scripted runner."""

    def __init__(self, runner, **settings):
        self.runner = runner
        self.log = Log()
        self.sink = Sink()
        self.metrics = Metrics()
        self.client = RunnerClient(runner.port, "token", "s")
        options = RunsOptions(
            logger=self.log,
            events=self.sink,
            metrics=self.metrics,
            **settings,
            mask=lambda text: text.replace("canary-token", "***"),
        )
        self.runs = Runs(self.client, options)


@asynccontextmanager
async def staged(*, silent_seconds=300.0, has_run=False, **script):
    async with scripted_runner(**script) as runner:
        stage = Stage(runner, silent_seconds=silent_seconds, has_run=has_run)
        task = asyncio.create_task(stage.runs.run())
        try:
            yield stage
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await stage.client.close()


def end_of(stream):
    """Return how a run with this stream ends, and the state after it."""

    async def do():
        async with staged(streams=[stream]) as stage:
            run = await stage.runs.submit(body())
            end = await run.wait_ended()
            await stage.runs.wait_idle()
            assert stage.sink.flushed == len(stage.sink.types)
            return end, stage.runs.state

    return asyncio.run(do())


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        (WELL, "finished", ""),
        ([STARTED, finished(is_error=True)], "failed", "why"),
        ([STARTED, CUT], "cut-off", "no result"),
        ([STARTED, CUT, ERROR], "error", "no key"),
        ([STARTED, finished(), ERROR], "error", "no key"),
        ([STARTED, finished(), encode(type="CUSTOM")], "failed", "after RUN_FINISHED"),
        ([ERROR], "error", "no key"),
        ([STARTED], "broken", "without RUN_FINISHED"),
        ([], "broken", "without RUN_FINISHED"),
        ([STARTED, BREAK], "broken", "broke"),
        ([STARTED, finished(), BREAK], "broken", "broke"),
        ([STARTED, encode(type="RUN_FINISHED", result={})], "failed", "is an error"),
    ],
)
def test_only_a_run_that_finished_with_nothing_after_it_went_well(stream, kind, message):
    end, state = end_of(stream)
    assert (end.kind, end.ok) == (kind, kind == "finished")
    assert message in end.message
    assert (state.finished, state.failed) == (int(end.ok), int(not end.ok))
    assert state.last_end == end


def test_the_first_run_that_ends_with_run_error_is_known_and_its_message_is_masked():
    end, state = end_of([ERROR])
    assert state.first_run_failed
    assert end.message == "the model has no key ***"


def test_a_later_run_error_is_not_the_first():
    async def do():
        async with staged(streams=[WELL, [ERROR]]) as stage:
            for _ in range(2):
                await (await stage.runs.submit(body())).wait_ended()
            return stage.runs.state

    state = asyncio.run(do())
    assert not state.first_run_failed
    assert (state.finished, state.failed) == (1, 1)


def test_a_run_waits_for_the_end_of_the_one_before_it():
    async def do():
        release = asyncio.Event()
        async with staged(streams=[[STARTED, release, finished()], WELL]) as stage:
            await stage.runs.submit(body("one"))
            second = stage.runs.enqueue(body("two"))
            await eventually(lambda: stage.sink.types)
            state = stage.runs.state
            assert (state.open, state.queued, stage.runs.has_open_run) == (True, 1, True)
            assert [run.json["runId"] for run in stage.runner.runs] == ["one"]
            release.set()
            assert (await second.wait_ended()).ok
            await stage.runs.wait_idle()
            assert [run.json["runId"] for run in stage.runner.runs] == ["one", "two"]
            assert not stage.runs.has_open_run
            assert stage.metrics.get("runs", "finished") == 2

    asyncio.run(do())


def test_a_run_that_says_nothing_is_reported_once_and_goes_on():
    async def do():
        release = asyncio.Event()
        stream = [STARTED, release, encode(type="CUSTOM"), asyncio.Event()]
        async with staged(silent_seconds=0.05, streams=[stream]) as stage:
            await stage.runs.submit(body())
            await eventually(lambda: stage.runs.state.is_silent)
            assert stage.log.events.count("the open run says nothing") == 1
            assert stage.runs.has_open_run
            release.set()
            await eventually(lambda: "CUSTOM" in stage.sink.types)
            await eventually(lambda: stage.log.events.count("the open run says nothing") == 2)

    asyncio.run(do())


def test_a_run_that_was_refused_counts_as_none_and_the_next_one_is_done():
    async def do():
        async with staged(statuses=[401]) as stage:
            with pytest.raises(RunnerError, match="401"):
                await stage.runs.submit(body())
            assert stage.runs.state.failed == 0
            run = await stage.runs.submit(body())
            assert (await run.wait_ended()).ok

    asyncio.run(do())


def test_a_bounded_number_of_runs_may_wait():
    async def do():
        async with staged(streams=[[STARTED, asyncio.Event()]]) as stage:
            await stage.runs.submit(body())
            for _ in range(LONGEST_QUEUE):
                stage.runs.enqueue(body())
            with pytest.raises(QueueFullError, match="are waiting"):
                stage.runs.enqueue(body())

    asyncio.run(do())


def test_an_interrupted_run_is_known_as_one():
    async def do():
        release = asyncio.Event()
        stream = [STARTED, release, finished(is_error=True)]
        async with staged(streams=[stream], on_interrupt=release.set) as stage:
            run = await stage.runs.submit(body())
            await stage.runs.interrupt()
            return await run.wait_ended()

    end = asyncio.run(do())
    assert (end.kind, end.ok) == ("interrupted", False)


def test_a_run_of_another_thread_is_interrupted_there():
    async def do():
        release = asyncio.Event()
        async with staged(streams=[[STARTED, release, finished(is_error=True)]]) as stage:
            await stage.runs.submit({**body(), "threadId": "another"})
            await stage.runs.interrupt()
            release.set()
            await stage.runs.wait_idle()
            return [each.json for each in stage.runner.requests if each.path == "/interrupt"]

    assert asyncio.run(do()) == [{"thread_id": "another"}]


def test_the_first_run_after_a_restart_is_not_the_pods_first():
    async def do():
        async with staged(has_run=True, streams=[[ERROR]]) as stage:
            await (await stage.runs.submit(body())).wait_ended()
            return stage.runs.state

    state = asyncio.run(do())
    assert (state.failed, state.first_run_failed) == (1, False)


def test_nothing_is_interrupted_when_no_run_is_open():
    async def do():
        async with staged() as stage:
            await stage.runs.interrupt()
            assert not stage.runner.requests

    asyncio.run(do())


def test_after_closing_the_open_run_is_read_to_its_end_and_no_other_is_taken():
    async def do():
        release = asyncio.Event()
        async with staged(streams=[[STARTED, release, finished()]]) as stage:
            first = await stage.runs.submit(body())
            second = stage.runs.enqueue(body())
            stage.runs.close()
            with pytest.raises(RunnerError, match="ending") as refused:
                await second.wait_accepted()
            assert refused.value.is_refused
            with pytest.raises(QueueFullError, match="ending"):
                stage.runs.enqueue(body())
            release.set()
            assert (await first.wait_ended()).ok
            await stage.runs.wait_idle()

    asyncio.run(do())


def test_closing_without_a_run_is_idle():
    async def do():
        async with staged() as stage:
            stage.runs.close()
            await stage.runs.wait_idle()

    asyncio.run(do())
