"""Single changes, against a runner that answers whatever it likes."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from reconcile.runner.change_plan import (
    AddRepository,
    Applied,
    DeliverPrompt,
    RemoveRepository,
    SetModel,
    SetWorkflow,
    SwitchBranch,
    encode_applied,
    parse_applied,
    plan_steps,
    record_step,
)
from reconcile.runner.change_steps import Done, Failed, Steps, StepSettings, Waiting
from reconcile.runner.client import Answer, RunnerError
from reconcile.runner.credentials import Credentials
from reconcile.runner.input_states import InputStates, ItemState
from reconcile.runner.inputs import Inputs, Repository, Workflow
from reconcile.runner.probe import Probe
from reconcile.runner.session_dir import SessionDir
from reconcile.runner.workflow_files import WorkflowFiles
from reconcile.runtime.logging import JsonLogger
from tests.runner.applying import Origin
from tests.runner.work import git

OK = Answer(200, b"{}")


@dataclass
class Runner:
    """Answers with the same each time, and changes nothing."""

    answer: Answer | RunnerError = OK
    asked: list[tuple[str, dict]] = field(default_factory=list)

    async def post(self, path, body, headers=None, timeout=0):  # noqa: ARG002
        self.asked.append((path, dict(body)))
        if isinstance(self.answer, RunnerError):
            raise self.answer
        return self.answer


@pytest.fixture
def origin(tmp_path):
    return Origin(tmp_path / "origins" / "shop.git")


@pytest.fixture
def repository(origin):
    return Repository(origin.url, "shop")


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "workspace" / "repos").mkdir(parents=True)
    (tmp_path / "workspace" / "workflows").mkdir()
    return tmp_path / "workspace"


def steps(workspace, runner):
    credentials = Credentials(workspace.parent / "credentials")
    probe = Probe(credentials, workspace.parent)
    settings = StepSettings(workspace, credentials, probe, allow_files=True)
    return Steps(settings, runner, WorkflowFiles(workspace, SessionDir(workspace)))


def test_an_answer_of_success_without_a_clone_is_a_failure(workspace, repository):
    outcome = asyncio.run(steps(workspace, Runner()).add_repository(repository))
    assert outcome == Failed(
        "the runner has answered that it was cloned, and there is no repository"
    )


class CloningRunner(Runner):
    """Clones the repository at a branch of its own choice."""

    def __init__(self, folder, branch):
        super().__init__()
        self.folder, self.branch = folder, branch

    async def post(self, path, body, *arguments, **more):
        git(self.folder.parent, "clone", "-q", "--branch", self.branch, body["url"], "shop")
        return await super().post(path, body, *arguments, **more)


def test_it_is_known_at_which_branch_the_runner_has_left_a_clone(workspace, origin, repository):
    git(origin.folder, "branch", "other")
    runner = CloningRunner(workspace / "repos" / "shop", "other")
    outcome = asyncio.run(steps(workspace, runner).add_repository(repository))
    assert isinstance(outcome, Waiting)
    assert "at branch `other` instead of `trunk`" in outcome.reason
    assert [body["branch"] for _, body in runner.asked] == ["trunk"]


def test_a_repository_may_be_added_at_a_tag(workspace, origin):
    git(origin.folder, "tag", "v1")
    runner = CloningRunner(workspace / "repos" / "shop", "v1")
    repository = Repository(origin.url, "shop", "v1")
    assert isinstance(asyncio.run(steps(workspace, runner).add_repository(repository)), Done)


def test_an_answer_of_success_without_a_removal_is_a_failure(workspace, repository):
    (workspace / "repos" / "shop").mkdir()
    made = steps(workspace, Runner())
    outcome = asyncio.run(made.remove_repository(repository, is_replaced=False))
    assert isinstance(outcome, Failed)
    assert "still there" in outcome.reason


def test_a_workflow_without_files_is_not_left_active(workspace, origin):
    runner = Runner()
    outcome = asyncio.run(steps(workspace, runner).set_workflow(Workflow(origin.url)))
    assert isinstance(outcome, Failed)
    assert [body["gitUrl"] for _, body in runner.asked] == [origin.url, ""]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (RunnerError("the runner cannot be reached", is_refused=True), Waiting, "reached"),
        (RunnerError("no answer for 600 s"), Failed, "600 s"),
        (Answer(422, b""), Waiting, "busy"),
        (Answer(500, b'{"detail": "cannot clone"}'), Failed, "500: cannot clone"),
        (Answer(500, b"\xff\x00"), Failed, "500"),
        (Answer(302, b"[]"), Failed, "302"),
    ],
)
def test_what_a_runner_refuses_waits_or_fails(workspace, repository, answer, kind, words):
    made = steps(workspace, Runner(answer))
    workflow = Workflow(repository.url)
    for change in (
        made.set_model("new"),
        made.add_repository(repository),
        made.remove_repository(repository, is_replaced=True),
        made.set_workflow(workflow),
        made.set_workflow(None),
    ):
        outcome = asyncio.run(change)
        assert isinstance(outcome, kind)
        assert words in outcome.reason


def test_what_is_no_repository_keeps_waiting_for_its_branch(workspace, repository):
    made = steps(workspace, Runner())
    bad, wanted = Repository(repository.url, "../x", "b"), Repository(repository.url, "shop", "b")
    assert isinstance(asyncio.run(made.check_branch(bad)), Failed)
    assert isinstance(asyncio.run(made.check_branch(wanted)), Waiting)
    assert asyncio.run(made.check_branch(repository)) == Done()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("git@github.com:a/b", "it has no ssh key while it runs, and `prepare` clones it"),
        ("https://git.example.com/a/b", "only to hosts that are called github or gitlab"),
        ("https://gitlab.example.com/a/b", ""),
    ],
)
def test_what_a_running_runner_lacks_for_a_clone_is_said(workspace, monkeypatch, url, words):
    monkeypatch.setattr(Probe, "find_branch", lambda *_: "main")
    repository, workflow = Repository(url, "b"), Workflow(url)
    added = asyncio.run(steps(workspace, Runner(Answer(500, b""))).add_repository(repository))
    set_ = asyncio.run(steps(workspace, Runner()).set_workflow(workflow))
    for outcome, text in ((added, "answered 500"), (set_, "no workflow is active now")):
        assert isinstance(outcome, Failed)
        assert text in outcome.reason
        assert outcome.reason.endswith(" in the next pod") == bool(words)
        assert words in outcome.reason


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", ".git"])
def test_a_bad_name_asks_the_runner_for_nothing(workspace, origin, name):
    runner = Runner()
    made = steps(workspace, runner)
    bad = Repository(origin.url, name)
    for change in (made.add_repository(bad), made.remove_repository(bad, is_replaced=False)):
        assert isinstance(asyncio.run(change), Failed)
    assert runner.asked == []


def test_a_linked_folder_of_repositories_is_left_alone(workspace, repository, tmp_path):
    (workspace / "repos").rmdir()
    (workspace / "repos").symlink_to(tmp_path)
    (tmp_path / "shop").mkdir()
    runner = Runner()
    made = steps(workspace, runner)
    removal = asyncio.run(made.remove_repository(repository, is_replaced=False))
    assert isinstance(removal, Waiting)
    assert isinstance(asyncio.run(made.add_repository(repository)), Failed)
    assert runner.asked == []
    assert (tmp_path / "shop").is_dir()


def test_no_model_waits_for_another_pod(workspace):
    outcome = asyncio.run(steps(workspace, Runner()).set_model(""))
    assert isinstance(outcome, Waiting)
    assert asyncio.run(steps(workspace, Runner()).set_model("new")) == Done()


A, B = Repository("https://h/a", "a"), Repository("https://h/b", "b", "main")
FLOW = Workflow("https://h/flow", "main", "part")


def test_a_plan_removes_adds_and_ends_with_the_prompt():
    applied = Applied((A, B), FLOW, "one", "digest")
    moved, other = Repository("https://x/a", "a"), Repository(B.url, "b", "dev")
    inputs = Inputs("Go on.", repositories=(moved, other), model="two")
    assert plan_steps(applied, inputs) == (
        RemoveRepository(A, is_replaced=True),
        SwitchBranch(other),
        SetWorkflow(None),
        SetModel("two"),
        DeliverPrompt(inputs.prompt_digest),
    )
    assert plan_steps(applied, Inputs(repositories=(A,), workflow=FLOW, model="one"))[0] == (
        RemoveRepository(B)
    )


def test_after_all_steps_nothing_is_left_to_do():
    inputs = Inputs("Go on.", repositories=(A, B), workflow=FLOW, model="two")
    applied = Applied((Repository("https://x/a", "a"), Repository(B.url, "b")))
    for _ in range(3):
        for step in plan_steps(applied, inputs):
            applied = record_step(applied, step)
    assert plan_steps(applied, inputs) == ()
    assert AddRepository(A) not in plan_steps(applied, inputs)


def test_what_was_applied_is_known_to_the_same_pod_alone():
    applied = Applied((A, B), FLOW, "one", "digest")
    data = encode_applied(applied, "uid")
    assert parse_applied(data, "uid") == applied
    assert parse_applied(data, "another") is None
    for damaged in (b"", b"{}", b"[]", data[:-9], data.replace(b'"url"', b'"link"')):
        assert parse_applied(damaged, "uid") is None


def test_an_unwritable_state_is_reported_once(tmp_path, capfd):
    workspace = tmp_path / "absent"
    states = InputStates(SessionDir(workspace), str.upper, JsonLogger(lambda: 0))
    states.put(ItemState("model", "new", "done"))
    states.write()
    states.write()
    assert capfd.readouterr().err.count("is not written") == 1


def test_a_session_folder_that_the_agent_has_replaced_is_used_again(workspace):
    (workspace / ".session").symlink_to(workspace)
    states = InputStates(SessionDir(workspace), str.upper, JsonLogger(lambda: 0))
    states.put(ItemState("model", "new", "done"))
    states.write()
    assert (workspace / ".session" / "inputs.json").is_file()
    assert not (workspace / "inputs.json").exists()


def test_only_the_last_done_changes_are_kept(workspace):
    states = InputStates(SessionDir(workspace), str, JsonLogger(lambda: 0))
    for number in range(200):
        states.put(ItemState("repository", f"r{number}", "done"))
    states.put(ItemState("repository", "gone", "failed", "x" * 10_000))
    states.retain([])
    states.write()
    data = Path(workspace, ".session/inputs.json").read_text()
    assert data.count('"done"') == 50
    assert "r199" in data
    assert "gone" not in data
