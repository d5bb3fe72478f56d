"""The prompt is delivered once for each state of the workspace."""

import asyncio
from contextlib import asynccontextmanager

import orjson
import pytest

from reconcile.runner.client import RunnerClient
from reconcile.runner.delivery import Delivery, DeliveryOptions
from reconcile.runner.inputs import Inputs, read_inputs
from reconcile.runner.metrics import Metrics
from reconcile.runner.prompt import CONTINUE_MESSAGE, DeliveryError, build_body, find_source
from reconcile.runner.prompt_file import PromptFile
from reconcile.runner.runs import Runs, RunsOptions
from reconcile.runner.session_dir import SessionDir
from reconcile.runtime.backoff import Backoff
from tests.runner.scripted import (
    BREAK,
    NO_ANSWER,
    STARTED,
    WELL,
    Log,
    encode,
    eventually,
    finished,
    scripted_runner,
)
from tests.runner.test_runs import Sink

WORKFLOW = "https://git.example/team/flow.git"


class Session:
    """The workspace and the inputs of a session, which outlive its pods."""

    def __init__(self, path):
        self.workspace = path / "workspace"
        self.inputs = path / "inputs"
        self.workspace.mkdir()
        self.inputs.mkdir()
        self.log = Log()

    def declare(self, **inputs):
        for file in self.inputs.iterdir():
            file.unlink()
        for name, text in inputs.items():
            (self.inputs / name).write_text(text)

    def add_workflow(self, content):
        folder = self.workspace / "workflows/flow/.ambient"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ambient.json").write_bytes(content)

    @property
    def marks(self):
        path = self.workspace / ".session/prompt.json"
        return orjson.loads(path.read_bytes())["prompts"] if path.exists() else []

    @property
    def states(self):
        return [each["run"] for each in self.marks]


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path)
    session.declare(INITIAL_PROMPT="do it")
    return session


class Pod:
    """A bridge's delivery, and the runner next to it."""

    def __init__(self, session, runner, options):
        self.session = session
        self.runner = runner
        self.metrics = Metrics()
        self.client = RunnerClient(runner.port, "token", "s", answer_seconds=0.2)
        run_options = RunsOptions(logger=session.log, events=Sink(), metrics=self.metrics)
        self.runs = Runs(self.client, run_options)
        marks = PromptFile(SessionDir(session.workspace))
        clients = self.client, self.runs
        self.delivery = Delivery(clients, marks, options, session.log, self.metrics)

    async def call(self, text="do it"):
        """Post the prompt as the runner does; returns the body."""
        body = build_body("s", text, "runner_initial_prompt")
        await self.delivery.handle_posted_prompt(body)
        return body

    async def wait_delivered(self):
        await eventually(lambda: self.delivery.is_delivered)
        await self.runs.wait_idle()
        await eventually(lambda: not self.delivery._trackers)

    async def wait_failed(self):
        await eventually(lambda: self.delivery.failure)
        return self.delivery.failure

    @property
    def texts(self):
        """What the runner was asked."""
        return [run.json["messages"][0]["content"] for run in self.runner.runs]


@asynccontextmanager
async def pod(session, uid="pod-1", options=None, **script):
    async with scripted_runner(**script) as runner:
        values = {"seconds": 20.0, "call_seconds": 60.0, "backoff": Backoff(0.02, 0.02)}
        all_options = DeliveryOptions(
            session="s",
            pod_uid=uid,
            inputs=session.inputs,
            workspace=session.workspace,
            **{**values, **(options or {})},
        )
        stage = Pod(session, runner, all_options)
        tasks = [asyncio.create_task(each.run()) for each in (stage.runs, stage.delivery)]
        try:
            yield stage
        finally:
            for task in [*tasks, *stage.delivery._trackers]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await stage.client.close()


def deliver(session, uid="pod-1", text="do it", **rest):
    """Start a pod whose runner asks for its prompt; returns what the runner was then asked."""

    async def do():
        async with pod(session, uid, **rest) as stage:
            await stage.call(text)
            await stage.wait_delivered()
            return stage.texts

    return asyncio.run(do())


def test_the_runners_own_prompt_is_passed_on_unchanged(session):
    async def do():
        async with pod(session) as stage:
            body = await stage.call()
            await stage.wait_delivered()
            (run,) = stage.runner.runs
            assert run.json == body
            assert session.states == ["finished"]
            assert session.marks[0]["podUid"] == "pod-1"
            assert stage.metrics.get("prompt_deliveries", "delivered") == 1

    asyncio.run(do())


def test_the_mark_is_written_before_the_run_is_asked_for(session):
    seen = []
    deliver(session, on_run=lambda _run: seen.extend(session.states))
    assert seen == ["open"]


def test_the_next_pod_with_the_same_workspace_delivers_nothing(session):
    assert deliver(session) == ["do it"]
    assert deliver(session, "pod-2") == []
    assert session.states == ["finished"]


def test_a_call_that_is_repeated_is_not_passed_on(session):
    async def do():
        async with pod(session) as stage:
            await stage.call()
            await stage.wait_delivered()
            await stage.call()
            await eventually(lambda: stage.metrics.get("prompt_deliveries", "repeated"))
            assert stage.texts == ["do it"]

    asyncio.run(do())


def test_a_changed_prompt_is_new_and_one_of_before_is_not(session):
    assert deliver(session) == ["do it"]
    session.declare(INITIAL_PROMPT="more")
    assert deliver(session, text="more") == ["more"]
    session.declare(INITIAL_PROMPT="do it")
    assert deliver(session) == []


def test_a_changed_workflow_is_a_new_prompt(session):
    assert deliver(session) == ["do it"]
    session.declare(INITIAL_PROMPT="do it", ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
    assert deliver(session, text="begin\n\ndo it") == ["begin\n\ndo it"]


def test_a_workflow_alone_counts_as_a_prompt(session):
    session.declare(ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
    session.add_workflow(b'{"startupPrompt": " begin "}')
    assert deliver(session, text="begin") == ["begin"]
    assert deliver(session, text="begin") == []


@pytest.mark.parametrize("content", [b"{not json", b"[]", b"{}", b'{"startupPrompt": 5}', None])
def test_without_a_prompt_of_a_workflow_nothing_is_waited_for(session, content):
    session.declare(ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
    if content is not None:
        session.add_workflow(content)

    async def do():
        async with pod(session) as stage:
            await stage.wait_delivered()
            assert not stage.texts

    asyncio.run(do())
    assert not session.marks


def test_a_workflow_that_is_a_link_is_not_followed(session, tmp_path):
    session.declare(ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
    session.add_workflow(b'{"startupPrompt": "begin"}')
    (session.workspace / "workflows/flow/.ambient").rename(tmp_path / "target")
    (session.workspace / "workflows/flow/.ambient").symlink_to(tmp_path / "target")

    async def do():
        async with pod(session) as stage:
            await stage.wait_delivered()

    asyncio.run(do())


def test_a_prompt_that_only_the_runners_variables_have_is_delivered_once(session):
    session.declare()

    async def do(uid):
        async with pod(session, uid) as stage:
            await stage.wait_delivered()
            await stage.call("of the variables")
            count = stage.metrics.get
            await eventually(
                lambda: (
                    count("prompt_deliveries", "delivered")
                    or count("prompt_deliveries", "repeated")
                )
            )
            return stage.texts

    assert asyncio.run(do("pod-1")) == ["of the variables"]
    assert asyncio.run(do("pod-2")) == []


def test_a_long_prompt_is_posted_by_the_bridge_after_that_of_the_workflow(session):
    text = "long " * 10_000
    session.declare(LONG_PROMPT=text, ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
    session.add_workflow(b'{"startupPrompt": "begin"}')

    async def do():
        async with pod(session) as stage:
            await stage.call("begin")
            await stage.wait_delivered()
            await eventually(lambda: stage.metrics.get("prompt_deliveries", "repeated"))
            (run,) = stage.runner.runs
            assert run.json["threadId"] == "s"
            assert find_source(run.json) == "runner_initial_prompt"
            assert stage.texts == [f"begin\n\n{text.strip()}"]

    asyncio.run(do())
    assert deliver(session, "pod-2", "begin") == []


def test_a_runner_that_does_not_ask_gets_its_prompt_nevertheless(session):
    async def do():
        async with pod(session, options={"call_seconds": 0.0}) as stage:
            await stage.wait_delivered()
            assert stage.texts == ["do it"]

    asyncio.run(do())


def test_the_declared_prompt_is_sent_where_the_runner_has_an_older_one(session):
    assert deliver(session, text="an older one") == ["do it"]


def test_a_prompt_that_changes_while_the_session_runs_is_delivered_once(session):
    async def do():
        async with pod(session) as stage:
            await stage.call()
            await stage.wait_delivered()
            session.declare(INITIAL_PROMPT="more")
            for _ in range(2):
                await stage.delivery.deliver(read_inputs(session.inputs))
            await stage.wait_delivered()
            assert stage.texts == ["do it", "more"]
            assert stage.runner.runs[1].json["threadId"] == "s"

    asyncio.run(do())
    assert session.states == ["finished", "finished"]


def test_a_prompt_that_changes_before_the_first_is_delivered_comes_after_it(session):
    async def do():
        async with pod(session) as stage:
            changed = asyncio.create_task(stage.delivery.deliver(Inputs(prompt="more")))
            await asyncio.sleep(0.1)
            assert not stage.texts
            await stage.call()
            await changed
            await stage.wait_delivered()
            assert stage.texts == ["do it", "more"]

    asyncio.run(do())


def test_inputs_that_change_before_the_first_prompt_are_those_that_are_delivered(session):
    async def do():
        async with pod(session) as stage:
            await asyncio.sleep(0.1)
            session.declare(INITIAL_PROMPT="more")
            await stage.call("do it")
            await stage.wait_delivered()
            assert stage.texts == ["more"]

    asyncio.run(do())


def test_the_prompt_of_a_workflow_is_repeated_only_if_the_workflow_has_changed(session):
    session.add_workflow(b'{"startupPrompt": "begin"}')

    async def do():
        async with pod(session) as stage:
            await stage.call()
            await stage.wait_delivered()
            for prompt in ("one", "two"):
                session.declare(INITIAL_PROMPT=prompt, ACTIVE_WORKFLOW_GIT_URL=WORKFLOW)
                await stage.delivery.deliver(read_inputs(session.inputs))
            assert stage.texts == ["do it", "begin\n\none", "two"]

    asyncio.run(do())


@pytest.mark.parametrize("status", [401, 500])
def test_a_refused_prompt_is_tried_again(session, status):
    assert deliver(session, statuses=[status, status]) == ["do it"] * 3
    assert session.states == ["finished"]


def test_a_prompt_that_no_runner_accepts_fails_and_is_delivered_by_the_next_pod(session):
    async def do():
        options = {"seconds": 0.2}
        async with pod(session, options=options, statuses=[401] * 1000) as stage:
            await stage.call()
            reason = await stage.wait_failed()
            assert not stage.delivery.is_delivered
            assert stage.metrics.get("prompt_deliveries", "failed") == 1
            with pytest.raises(DeliveryError):
                await stage.delivery.deliver(read_inputs(session.inputs))
            return reason

    assert "401" in asyncio.run(do())
    assert not session.marks
    assert deliver(session, "pod-2") == ["do it"]


def test_a_runner_that_is_never_healthy_is_a_failure(session):
    async def do():
        async with pod(session, options={"seconds": 0.2}, health=500) as stage:
            reason = await stage.wait_failed()
            assert not stage.texts
            return reason

    assert "health" in asyncio.run(do())


def test_the_time_for_a_delivery_counts_from_when_the_runner_has_started(session):
    async def do():
        async with pod(session, options={"seconds": 0.5}, is_listening=False) as stage:
            await stage.call()
            await asyncio.sleep(1)
            assert not stage.delivery.failure
            await stage.runner.listen()
            await stage.wait_delivered()
            return stage.texts

    assert asyncio.run(do()) == ["do it"]


def test_a_runner_that_does_not_start_is_a_failure_after_a_time_of_its_own(session):
    async def do():
        async with pod(session, options={"start_seconds": 0.2}, is_listening=False) as stage:
            return await stage.wait_failed()

    assert "has not started for 0.2 s" in asyncio.run(do())


def test_without_a_prompt_a_runner_may_take_any_time_to_start(session):
    session.declare()

    async def do():
        async with pod(session, options={"start_seconds": 0}, is_listening=False) as stage:
            await eventually(lambda: stage.delivery.is_delivered)
            assert not stage.delivery.has_started
            await stage.runner.listen()
            await eventually(lambda: stage.delivery.has_started)
            assert not stage.delivery.failure

    asyncio.run(do())


def test_a_runner_that_may_have_begun_is_not_asked_again(session):
    async def do():
        async with pod(session, statuses=[NO_ANSWER]) as stage:
            await stage.call()
            reason = await stage.wait_failed()
            assert len(stage.runner.runs) == 1
            return reason

    assert "not answered" in asyncio.run(do())
    assert session.states == ["open"]


def test_without_a_mark_nothing_is_delivered(session):
    for number in range(1, 100):
        (session.workspace / f".session.moved-{number}").touch()
    (session.workspace / ".session").touch()

    async def do():
        async with pod(session, options={"seconds": 0.2}) as stage:
            await stage.call()
            reason = await stage.wait_failed()
            assert not stage.texts
            return reason

    assert ".session/prompt.json" in asyncio.run(do())


def test_inputs_that_cannot_be_read_are_a_failure_that_says_so(session):
    session.declare(INITIAL_PROMPT="do it", REPOS_JSON="{not json")

    async def do():
        async with pod(session, options={"seconds": 0.2}) as stage:
            return await stage.wait_failed()

    assert "REPOS_JSON" in asyncio.run(do())


@pytest.mark.parametrize(
    ("stream", "state"),
    [
        (WELL, "finished"),
        ([STARTED, finished(is_error=True)], "failed"),
        ([encode(type="RUN_ERROR", message="no key")], "failed"),
        ([STARTED, BREAK], "open"),
        ([STARTED, encode(type="RUN_FINISHED")], "open"),
    ],
)
def test_the_end_of_the_run_is_marked_where_it_was_seen(session, stream, state):
    deliver(session, streams=[stream])
    assert session.states == [state]


def interrupt(session, uid="pod-1"):
    """Let a pod end while its run is open."""

    async def do():
        async with pod(session, uid, streams=[[STARTED, asyncio.Event()]]) as stage:
            await stage.call()
            await eventually(lambda: stage.delivery.is_delivered)

    asyncio.run(do())
    assert session.states == ["open"]


def test_a_run_that_was_under_way_when_its_pod_ended_is_marked_and_waits(session):
    interrupt(session)
    assert deliver(session, "pod-2") == []
    assert session.states == ["interrupted"]
    (fields,) = [fields for event, fields in session.log.lines if event == "run interrupted"]
    assert fields["reason"] == "its pod ended"


def test_an_interrupted_run_is_continued_once(session):
    interrupt(session)
    options = {"on_interrupted": "Continue"}
    assert deliver(session, "pod-2", options=options) == [CONTINUE_MESSAGE]
    assert session.states == ["finished"]
    assert deliver(session, "pod-3", options=options) == []


def test_a_continued_run_that_is_interrupted_too_is_continued_by_the_next_pod_alone(session):
    options = {"on_interrupted": "Continue"}

    async def cut(uid):
        streams = [[STARTED, asyncio.Event()]]
        async with pod(session, uid, options=options, streams=streams) as stage:
            await eventually(lambda: stage.delivery.is_delivered)
            return stage.texts

    interrupt(session)
    assert asyncio.run(cut("pod-2")) == [CONTINUE_MESSAGE]
    assert asyncio.run(cut("pod-2")) == []  # The bridge was started again in the same pod.
    assert session.states == ["interrupted"]
    assert asyncio.run(cut("pod-3")) == [CONTINUE_MESSAGE]


def test_a_run_that_the_next_pod_could_not_continue_is_continued_by_the_one_after_it(session):
    options = {"on_interrupted": "Continue"}

    async def lose():
        async with pod(session, "pod-2", options=options, statuses=[500] * 1000) as stage:
            await eventually(lambda: stage.texts and session.states == ["interrupted"])

    interrupt(session)
    asyncio.run(lose())
    assert deliver(session, "pod-3", options=options) == [CONTINUE_MESSAGE]
    assert session.states == ["finished"]


def test_a_session_that_waits_is_continued_once_it_says_so(session):
    interrupt(session)
    assert deliver(session, "pod-2") == []
    assert deliver(session, "pod-3", options={"on_interrupted": "Continue"}) == [CONTINUE_MESSAGE]


def test_an_interrupted_prompt_that_another_one_has_followed_is_not_continued(session):
    interrupt(session)
    session.declare(INITIAL_PROMPT="more")
    options = {"on_interrupted": "Continue"}
    deliver(session, "pod-2", "more", options=options)
    assert session.states == ["interrupted", "finished"]
    assert deliver(session, "pod-3", "more", options=options) == []


@pytest.mark.parametrize(("stream", "state"), [(WELL, "finished"), ([STARTED], "interrupted")])
def test_an_interrupted_prompt_is_finished_by_a_message_of_a_person_that_ends_well(
    session, stream, state
):
    async def talk():
        async with pod(session, "pod-2", streams=[stream]) as stage:
            await stage.wait_delivered()
            stage.delivery.follow(stage.runs.enqueue(build_body("s", "go on", "")))
            await stage.wait_delivered()

    interrupt(session)
    asyncio.run(talk())
    assert session.states == [state]


def test_a_bridge_that_is_started_again_says_that_it_has_not_seen_the_end(session):
    interrupt(session)
    assert deliver(session, "pod-1") == []
    (fields,) = [fields for event, fields in session.log.lines if event == "run interrupted"]
    assert "started again" in fields["reason"]


def test_a_new_prompt_takes_the_place_of_continuing(session):
    interrupt(session)
    session.declare(INITIAL_PROMPT="more")
    options = {"on_interrupted": "Continue"}
    assert deliver(session, "pod-2", "more", options=options) == ["more"]


def test_a_run_that_the_end_of_the_pod_interrupts_stays_open(session):
    async def do():
        release = asyncio.Event()
        stream = [STARTED, release, finished(is_error=True)]
        async with pod(session, streams=[stream]) as stage:
            await stage.call()
            await eventually(lambda: stage.delivery.is_delivered)
            stage.delivery.stop()
            release.set()
            await stage.wait_delivered()

    asyncio.run(do())
    assert session.states == ["open"]


def test_nothing_is_delivered_once_the_pod_is_ending(session):
    async def do():
        async with pod(session, statuses=[500] * 1000) as stage:
            await stage.call()
            await eventually(lambda: stage.texts)
            stage.delivery.stop()
            stage.runs.close()
            await eventually(stage.delivery._first_done.is_set)
            assert not stage.delivery.failure

    asyncio.run(do())
    assert not session.marks


@pytest.mark.parametrize(
    "data",
    [
        b"{not json",
        b"[]",
        b'{"version": 2, "prompts": []}',
        b'{"version": 1}',
        b'{"version": 1, "prompts": [{"digest": 5}]}',
        b'{"version": 1, "prompts": [{"digest": "a", "delivered": "", "podUid": "", "run": "x"}]}',
    ],
)
def test_a_damaged_mark_counts_as_delivered(session, data):
    deliver(session)
    (session.workspace / ".session/prompt.json").write_bytes(data)
    assert deliver(session, "pod-2") == []
    assert session.states == ["interrupted"]
    assert "prompt.json is damaged: the prompt is not delivered again" in session.log.events


def test_what_the_agent_does_to_the_mark_has_no_effect_on_this_pod(session):
    async def do():
        async with pod(session) as stage:
            await stage.call()
            await stage.wait_delivered()
            (session.workspace / ".session/prompt.json").unlink()
            await stage.call()
            await eventually(lambda: stage.metrics.get("prompt_deliveries", "repeated"))
            session.declare(INITIAL_PROMPT="more")
            await stage.delivery.deliver(read_inputs(session.inputs))
            await stage.wait_delivered()
            assert stage.texts == ["do it", "more"]

    asyncio.run(do())
    assert session.states == ["finished", "finished"]


def test_any_number_of_calls_is_taken_at_once(session):
    async def do():
        async with pod(session) as stage:
            for _ in range(1000):
                await stage.call()
            await stage.wait_delivered()
            assert stage.texts == ["do it"]

    asyncio.run(do())
