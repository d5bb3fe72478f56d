import asyncio

import orjson
import pytest

from reconcile.runner.change_plan import PREPARED_FILE, Applied, encode_applied
from reconcile.runner.credentials import Credentials, CredentialSource
from reconcile.runner.probe import Probe
from reconcile.runner.prompt import DeliveryError
from tests.runner.applying import SESSION, Origin, applying
from tests.runner.git_server import make_repository, serving
from tests.runner.work import DIRTY, git, linked_parent

PROMPT = {"threadId": SESSION, "runId": "r", "messages": [{"id": "m", "role": "user"}]}


@pytest.fixture
def session(tmp_path):
    with applying(tmp_path / "session") as made:
        made.change()
        yield made


@pytest.fixture
def origin(tmp_path):
    return Origin(tmp_path / "origins" / "shop.git")


@pytest.fixture
def flow(tmp_path):
    made = Origin(tmp_path / "origins" / "flow.git")
    made.commit(".ambient/ambient.json", "{}")
    made.commit("part/PART", "part")
    return made


def prompt(text):
    return {**PROMPT, "messages": [{"id": "m", "role": "user", "content": text}]}


def repo(origin, **more):
    return {"url": origin.url, "name": "shop", **more}


def use_workflow(origin, **more):
    return {"ACTIVE_WORKFLOW_GIT_URL": origin.url, **more}


def run(scenario):
    asyncio.run(scenario())


def test_inputs_that_do_not_change_ask_the_runner_for_nothing(session, origin):
    session.change(repos=[repo(origin)], LLM_MODEL="one", INITIAL_PROMPT="Do it.")

    async def scenario():
        async with session.running():
            await asyncio.sleep(0.5)

    run(scenario)
    assert session.requests == []
    assert session.items == {}
    assert session.delivered == []


def test_an_added_repository_is_cloned_at_its_default_branch(session, origin):
    async def scenario():
        async with session.running():
            session.change(repos=[repo(origin)])
            await session.until_item("repository shop", "done")

    run(scenario)
    folder = session.workspace / "repos" / "shop"
    assert git(folder, "branch", "--show-current") == "trunk"


def test_a_repository_is_not_added_at_a_branch_that_is_not_there(session, origin):
    """The runner would make a branch of that name, or leave the default one."""

    async def scenario():
        async with session.running():
            session.change(repos=[repo(origin, branch="absent")])
            await session.until_item("repository shop", "failed", "no branch `absent`")

    run(scenario)
    assert session.requests == []


def test_a_repository_without_work_is_removed_and_one_that_is_gone_counts_as_removed(
    session, origin
):
    session.clone(origin)
    session.change(repos=[repo(origin), repo(origin, name="gone")])

    async def scenario():
        async with session.running():
            session.change()
            await session.until_item("repository shop", "done")
            await session.until_item("repository gone", "done", "not there")

    run(scenario)
    assert not (session.workspace / "repos" / "shop").exists()


def test_a_repository_with_another_url_is_replaced(session, origin, tmp_path):
    other = Origin(tmp_path / "origins" / "other.git")
    session.clone(origin)
    session.change(repos=[repo(origin)])

    async def scenario():
        async with session.running():
            session.change(repos=[repo(other)], INITIAL_PROMPT="Use it.")
            await session.until_item("prompt", "done")

    run(scenario)
    folder = session.workspace / "repos" / "shop"
    assert git(folder, "config", "remote.origin.url") == other.url


def test_work_survives_every_change_of_the_inputs(session, tmp_path):
    """Removed, with another URL, with another branch: each kind of work in a clone of its own."""
    kinds = [each for each in DIRTY if each is not linked_parent]
    origins = {each.__name__: make_dirty_clone(session, tmp_path, each) for each in kinds}
    before = snapshot(session.workspace)
    declared = [{"url": url, "name": name} for name, url in origins.items()]
    other = Origin(tmp_path / "origins" / "other.git")
    session.change(repos=declared)

    async def scenario():
        async with session.running():
            for change, words in (
                ([], "stays"),
                ([{**each, "branch": "x"} for each in declared], "keeps its branch"),
                ([{**each, "url": other.url} for each in declared], "stays"),
            ):
                session.change(repos=change)
                for name in origins:
                    await session.until_item(f"repository {name}", "waiting", words)

    run(scenario)
    assert session.requests == []
    assert snapshot(session.workspace) == before


def make_dirty_clone(session, folder, make_dirty):
    origin = Origin(folder / "origins" / make_dirty.__name__)
    origin.commit("a.txt", "a.txt")
    clone = session.clone(origin, make_dirty.__name__)
    git(clone, "checkout", "-q", "-b", "main")
    git(clone, "push", "-q", "origin", "main")
    make_dirty(clone)
    return origin.url


def snapshot(workspace):
    files = sorted(each for each in (workspace / "repos").rglob("*") if ".git/" not in str(each))
    return {
        str(path.relative_to(workspace)): path.read_bytes() if path.is_file() else b""
        for path in files
    }


def test_a_branch_is_that_which_is_checked_out_or_the_agent_switches_to(session, origin):
    folder = session.clone(origin)
    session.change(repos=[repo(origin)])

    async def scenario():
        async with session.running() as runs:
            session.change(repos=[repo(origin, branch="trunk")])
            await session.until_item("repository shop", "done")
            session.change(repos=[repo(origin, branch="next")], INITIAL_PROMPT="Use it.")
            await session.until_item("prompt", "done")
            await session.until_item("repository shop", "waiting", "keeps its branch")
            git(folder, "checkout", "-q", "-b", "next")
            await runs.submit(prompt("Hello."))
            await session.until_item("repository shop", "done")

    run(scenario)
    assert [each["path"] for each in session.requests] == []


def test_work_that_is_done_with_lets_a_repository_go(session, origin):
    folder = session.clone(origin)
    session.change(repos=[repo(origin)])
    (folder / "new").write_text("work")

    async def scenario():
        async with session.running() as runs:
            session.change()
            await session.until_item("repository shop", "waiting", "not committed: new")
            (folder / "new").unlink()
            await runs.submit(prompt("Hello."))
            await session.until_item("repository shop", "done")

    run(scenario)
    assert not folder.exists()


def test_a_folder_that_is_there_is_never_added_again(session, origin):
    folder = session.clone(origin)
    git(folder, "checkout", "-qb", "own")
    (session.workspace / "repos" / "files").mkdir()
    (session.workspace / "repos" / "files" / "a").touch()
    (session.workspace / "repos" / "empty").mkdir()

    async def scenario():
        async with session.running():
            names = ("shop", "files", "empty")
            session.change(repos=[repo(origin, name=name, branch="trunk") for name in names])
            await session.until_item("repository shop", "done", "already")
            await session.until_item("repository files", "failed", "no clone of this URL")
            await session.until_item("repository empty", "done")

    run(scenario)
    assert git(folder, "branch", "--show-current") == "own"
    assert [each["path"] for each in session.requests] == ["/repos/add"]


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "", "-x", "a..b"])
def test_a_name_that_leaves_the_folder_changes_nothing(session, origin, name):
    (session.workspace / "x").mkdir()
    (session.workspace / "x" / "file").touch()
    item = {"url": f"{origin.url}/..", "name": name}

    async def scenario():
        async with session.running():
            session.change(repos=[item], LLM_MODEL="new")
            await session.until_item("inputs", "failed", "not one folder")
            session.change(LLM_MODEL="new")
            await session.until_item("model new", "done")

    run(scenario)
    assert "inputs" not in session.items
    assert (session.workspace / "x" / "file").exists()
    assert [each["path"] for each in session.requests] == ["/model"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://evil.example.com/a", "the policy does not allow"),
        ("ext::sh -c evil", "not one that can be cloned"),
        ("--upload-pack=evil", "not one that can be cloned"),
        ("file:///etc", "not one that can be cloned"),
    ],
)
def test_a_url_that_is_not_allowed_never_reaches_the_runner(session, url, words):
    session.more = {"allowed_hosts": ("github.com",), "allow_files": False}

    async def scenario():
        async with session.running():
            session.change(
                repos=[{"url": url, "name": "shop"}], ACTIVE_WORKFLOW_GIT_URL=url + "/flow"
            )
            await session.until_item("repository shop", "failed", words)
            await session.until_item("workflow flow", "failed", words)

    run(scenario)
    assert session.requests == []


def test_a_repository_that_cannot_be_read_fails_with_the_reason_and_holds_the_prompt(
    session, origin
):
    async def scenario():
        async with session.running():
            absent = {"url": f"{origin.url}-absent", "name": "shop"}
            session.change(repos=[absent], INITIAL_PROMPT="Use it.")
            await session.until_item("repository shop", "failed", "does not exist")
            await session.until_item("prompt", "waiting", "repository shop")
            assert session.delivered == []
            session.change(repos=[repo(origin)], INITIAL_PROMPT="Use it.")
            await session.until_item("prompt", "done")

    run(scenario)
    assert [each.prompt for each in session.delivered] == ["Use it."]


def test_a_model_is_set_once_no_run_is_open(session):
    async def scenario():
        async with session.running() as runs:
            await runs.submit(prompt("sleep 1"))
            session.change(LLM_MODEL="new")
            await session.until_item("model new", "waiting", "run is under way")
            assert session.requests == []
            await session.until_item("model new", "done")

    run(scenario)
    assert orjson.loads(session.requests[0]["body"]) == {"model": "new"}


def test_a_run_that_comes_while_the_runner_changes_is_not_cut_off(session, origin):
    async def scenario():
        async with session.running() as runs:
            session.change(repos=[repo(origin)])
            await session.until(lambda: bool(session.requests))
            submitted = await runs.submit(prompt("sleep 1"))
            end = await submitted.wait_ended()
            assert end.ok, end

    run(scenario)


def test_no_model_takes_effect_at_the_next_start(session):
    session.change(LLM_MODEL="one")

    async def scenario():
        async with session.running():
            session.change(INITIAL_PROMPT="Go on.")
            await session.until_item("model", "waiting", "next start")
            await session.until_item("prompt", "done")

    run(scenario)
    assert session.requests == []


def test_a_workflow_is_cloned_at_its_default_branch_before_the_prompt(session, flow):
    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow), INITIAL_PROMPT="Go on.")
            await session.until_item("prompt", "done")
            assert session.items["workflow flow"]["state"] == "done"
            session.change(INITIAL_PROMPT="Go on.")
            await session.until_item("workflow", "done")

    run(scenario)
    assert (session.workspace / "workflows/flow/README").exists()
    bodies = [orjson.loads(each["body"]) for each in session.requests]
    assert [each["gitUrl"] for each in bodies] == [flow.url, ""]
    assert bodies[0]["branch"] == "trunk"


def test_a_workflow_is_not_cloned_at_a_branch_that_is_not_there(session, flow):
    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow, ACTIVE_WORKFLOW_BRANCH="absent"))
            await session.until_item("workflow flow", "failed", "no branch `absent`")

    run(scenario)
    assert session.requests == []


@pytest.fixture
def branch_is_gone(monkeypatch):
    """Any branch is there when its server is asked, and may be gone when the runner clones."""
    monkeypatch.setattr(Probe, "find_branch", lambda _self, _remote, branch, _: branch or "trunk")


@pytest.mark.usefixtures("branch_is_gone")
def test_a_workflow_that_cannot_be_cloned_fails_and_is_tried_again(session, flow):
    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow, ACTIVE_WORKFLOW_BRANCH="absent"))
            await session.until_item("workflow flow", "failed", "could not clone")
            git(flow.folder, "branch", "absent")
            await session.until_item("workflow flow", "done")

    run(scenario)
    assert (session.workspace / "workflows/flow/README").exists()


@pytest.mark.usefixtures("branch_is_gone")
def test_a_workflow_whose_new_branch_cannot_be_cloned_keeps_its_files(session, flow):
    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow))
            await session.until_item("workflow flow", "done")
            session.change(**use_workflow(flow, ACTIVE_WORKFLOW_BRANCH="absent"))
            await session.until_item("workflow flow", "failed", "those of before")
            git(flow.folder, "branch", "absent")
            await session.until_item("workflow flow", "done")

    run(scenario)


def test_a_workflow_without_the_declared_folder_fails(session, flow):
    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow, ACTIVE_WORKFLOW_PATH="absent"))
            await session.until_item("workflow flow", "failed", "no folder absent")

    run(scenario)


@pytest.mark.parametrize("path", ["", "part"])
def test_a_workflow_with_local_changes_stays(session, flow, path):
    more = {"ACTIVE_WORKFLOW_PATH": path} if path else {}

    async def scenario():
        async with session.running():
            session.change(**use_workflow(flow, **more))
            await session.until_item("workflow flow", "done")
            work = session.workspace / "workflows/flow/work"
            work.write_text("work")
            changed = use_workflow(flow, **more, ACTIVE_WORKFLOW_BRANCH="trunk")
            session.change(**changed, INITIAL_PROMPT="Go on.")
            await session.until_item("workflow flow", "waiting", "workflows/flow stays")
            await session.until_item("prompt", "waiting", "workflow flow")
            assert work.read_text() == "work"

    run(scenario)
    assert len(session.requests) == 1


@pytest.fixture
def nested(tmp_path):
    """The URL of a workflow in a group of a group, which ends in a slash."""
    make_repository(tmp_path / "served/group/flow", {"README": "first\n", "part/PART": "part\n"})
    git(tmp_path / "served/group/flow", "branch", "next")
    with serving(tmp_path / "served", "http") as server:
        yield server.url("public/group/flow/")


@pytest.mark.parametrize("path", ["", "part"])
def test_a_workflow_in_a_nested_group_is_put_where_the_runner_looks_for_it(session, nested, path):
    more = {"ACTIVE_WORKFLOW_GIT_URL": nested, "ACTIVE_WORKFLOW_PATH": path}
    (session.workspace / "workflows/other").mkdir()

    async def scenario():
        async with session.running():
            for number, branch in enumerate(("main", "next"), 1):
                session.change(**more, ACTIVE_WORKFLOW_BRANCH=branch)
                await session.until(lambda number=number: len(session.delivered) == number)
            (session.workspace / "workflows/group/work").write_text("work")
            session.change(**more, ACTIVE_WORKFLOW_BRANCH="main")
            await session.until_item("workflow group", "waiting", "workflows/group stays")

    run(scenario)
    folder = session.workspace / "workflows/group"
    assert (folder / ("PART" if path else "README")).exists()
    assert sorted(each.name for each in folder.parent.iterdir()) == ["group", "other"]


def test_a_part_of_a_workflow_that_prepare_has_cloned_is_known_in_the_next_pod(session, flow):
    folder = session.workspace / "workflows" / "flow"
    folder.mkdir()
    (folder / "PART").write_text("part")
    part = use_workflow(flow, ACTIVE_WORKFLOW_PATH="part")
    session.change(**part)

    async def scenario():
        async with session.running():
            pass
        (folder / "PART").write_text("work")
        (session.top / "state/applied-inputs.json").unlink()
        async with session.running("another-pod"):
            session.change(**part, ACTIVE_WORKFLOW_BRANCH="trunk")
            await session.until_item("workflow flow", "waiting", "files have been changed")
            (folder / "PART").write_text("part")
            session.change(**part, ACTIVE_WORKFLOW_BRANCH="trunk", LLM_MODEL="new")
            await session.until_item("workflow flow", "done")

    run(scenario)


def test_inputs_that_change_before_the_bridge_starts_are_changes(session, origin):
    """A clone can take minutes, and the runner gets the newest inputs when it starts after it."""
    (session.top / "state" / PREPARED_FILE).write_bytes(encode_applied(Applied(), ""))
    session.change(repos=[repo(origin)])
    (session.workspace / "repos/shop").mkdir()

    async def scenario():
        async with session.running():
            await session.until_item("repository shop", "done")

    run(scenario)
    assert (session.workspace / "repos/shop/README").exists()


def test_changes_that_a_bridge_has_seen_survive_its_restart(session, origin):
    async def scenario():
        async with session.running() as runs:
            await runs.submit(prompt("sleep 1"))
            session.change(repos=[repo(origin)])
            await session.until_item("repository shop", "waiting")
        async with session.running():
            await session.until_item("repository shop", "done")

    run(scenario)


def test_another_pod_takes_the_inputs_for_those_of_its_start(session):
    async def scenario():
        async with session.running():
            pass
        session.change(LLM_MODEL="new")
        async with session.running("another-pod"):
            await asyncio.sleep(0.3)

    run(scenario)
    assert session.requests == []


def test_a_change_that_is_taken_back_is_forgotten(session, origin):
    folder = session.clone(origin)
    (folder / "new").touch()
    session.change(repos=[repo(origin)])

    async def scenario():
        async with session.running():
            session.change()
            await session.until_item("repository shop", "waiting")
            session.change(repos=[repo(origin)])
            await session.until(lambda: not session.items)

    run(scenario)


def test_inputs_that_change_all_the_time_settle_on_the_newest(session, origin):
    async def scenario():
        async with session.running():
            for number in range(200):
                more = [repo(origin)] if number % 2 else []
                session.change(LLM_MODEL=f"model-{number}", repos=more)
                await asyncio.sleep(0.01)
            await session.until_item("model model-199", "done")
            await session.until_item("repository shop", "done")

    run(scenario)
    models = [each for each in session.requests if each["path"] == "/model"]
    assert orjson.loads(models[-1]["body"]) == {"model": "model-199"}
    assert len(models) < 50
    assert (session.workspace / "repos/shop").is_dir()


def test_inputs_without_an_end_of_changes_are_applied_after_some_seconds(session):
    async def scenario():
        async with session.running():

            async def change_always():
                for number in range(10_000):
                    session.change(LLM_MODEL=f"model-{number}")
                    await asyncio.sleep(0.02)

            changing = asyncio.create_task(change_always())
            await session.until(lambda: bool(session.requests))
            changing.cancel()

    run(scenario)


def test_inputs_that_cannot_be_read_change_nothing(session):
    async def scenario():
        async with session.running():
            session.change(REPOS_JSON="{not json", LLM_MODEL="new")
            await session.until_item("inputs", "failed", "REPOS_JSON")
            (session.inputs / "..data").unlink()
            (session.inputs / "..data").symlink_to("absent")
            await session.until_item("inputs", "failed", "cannot be read")
            session.change(LLM_MODEL="new")
            await session.until_item("model new", "done")

    run(scenario)


@pytest.mark.parametrize("status", ["500", "401", "422", "503"])
def test_a_runner_that_refuses_is_asked_again(tmp_path, status):
    with applying(tmp_path / "session", DOUBLE_CHANGES=status) as session:
        session.change()

        async def scenario():
            async with session.running():
                session.change(LLM_MODEL="new")
                state = "waiting" if status in {"422", "503"} else "failed"
                await session.until_item("model new", state)
                await session.until(lambda: len(session.requests) > 1)

        run(scenario)


def test_a_token_goes_in_a_header_to_the_runner_and_into_no_file(session, monkeypatch):
    """The probe of the server is answered here, since no server of that name can be had."""
    monkeypatch.setattr(Probe, "find_branch", lambda *_: "main")
    token = "canary-0123456789"
    folder = session.top / "secrets" / "gitlab"
    folder.mkdir()
    (folder / "token").write_text(token)
    source = CredentialSource("gitlab", "robots", {"token": "token"}, "gitlab.example.invalid")
    session.credentials = Credentials(session.top / "secrets", (source,))

    async def scenario():
        async with session.running():
            urls = ("https://gitlab.example.invalid/a/b", "https://github.example.invalid/a/b")
            names = (f"n-{token}", "other")
            session.change(
                repos=[{"url": url, "name": name} for url, name in zip(urls, names, strict=True)]
            )
            await session.until_item("repository n-***", "failed", "500")
            await session.until_item("repository other", "failed", "500")

    run(scenario)
    headers = [each["headers"] for each in session.requests]
    assert [each.get("x-gitlab-token") for each in headers] == [token, None]
    written = (session.workspace / ".session/inputs.json").read_text()
    assert token not in written


def test_inputs_that_are_plain_files_are_applied_too(session):
    (session.inputs / "..data").unlink()
    (session.inputs / "LLM_MODEL").write_text("one")

    async def scenario():
        async with session.running():
            (session.inputs / "LLM_MODEL").write_text("other")
            await session.until_item("model other", "done")

    run(scenario)


def test_a_prompt_that_cannot_be_delivered_is_tried_again(session, monkeypatch):
    attempts = []

    async def fail_once(inputs):
        attempts.append(inputs.prompt)
        if len(attempts) == 1:
            raise DeliveryError("no answer")

    monkeypatch.setattr(session, "deliver", fail_once)

    async def scenario():
        async with session.running():
            session.change(INITIAL_PROMPT="Go on.")
            await session.until_item("prompt", "failed", "no answer")
            await session.until_item("prompt", "done")

    run(scenario)
    assert attempts == ["Go on.", "Go on."]
