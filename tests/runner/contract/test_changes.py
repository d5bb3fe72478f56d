"""Changes of repositories, workflow and model while the runner runs."""

import stat

import pytest

from tests.controlplane import waiting
from tests.runner.pods import NAMESPACE, SESSION


def branch(folder):
    return (folder / ".git/HEAD").read_text().strip().removeprefix("ref: refs/heads/")


def test_a_repository_is_added_and_the_backend_is_asked_for_a_run(pod, backend, origin):
    answer = pod.client.post("/repos/add", {"url": origin.url, "branch": "trunk", "name": "shop"})
    folder = pod.workspace / "repos" / "shop"
    assert answer.status_code == 200
    assert {**answer.json(), "message": ""} == {
        "message": "", "name": "shop", "path": str(folder), "newly_cloned": True,
    }  # fmt: skip
    assert (folder / "README").read_text() == "first"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    waiting.until("the call", lambda: bool(backend.prompts))
    call = backend.prompts[0]
    assert call.path == f"/api/projects/{NAMESPACE}/agentic-sessions/{SESSION}/agui/run"
    assert call.body["messages"][0]["metadata"]["source"] == "repo_added"


def test_the_name_is_taken_from_the_url(pod, origin):
    assert pod.client.post("/repos/add", {"url": origin.url}).json()["name"] == "shop"


def test_an_added_repository_is_not_the_working_directory(pod, origin):
    pod.client.post("/repos/add", {"url": origin.url, "branch": "trunk"})
    pod.client.run("write note.txt Hello.")
    assert (pod.workspace / "artifacts" / "note.txt").is_file()


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"branch": "trunk"}, "trunk"),
        ({"branch": "absent"}, "absent"),
        ({}, "main"),
        ({"branch": ""}, f"ambient/{SESSION}"),
    ],
)
def test_a_branch_that_is_not_there_is_made_or_not(pod, origin, asked, made):
    """The real one moves the clone while git makes the branch, and either may be first."""
    assert pod.client.post("/repos/add", {"url": origin.url, **asked}).is_success
    assert branch(pod.workspace / "repos" / "shop") in {"trunk", made}


def test_an_existing_folder_gets_another_branch_and_keeps_its_work(pod, origin):
    body = {"url": origin.url, "branch": "trunk"}
    assert pod.client.post("/repos/add", body).json()["newly_cloned"] is True
    folder = pod.workspace / "repos" / "shop"
    (folder / "README").write_text("changed")
    answer = pod.client.post("/repos/add", {**body, "branch": "another"})
    assert answer.json()["newly_cloned"] is False
    assert branch(folder) == "another"
    assert (folder / "README").read_text() == "changed"


def test_a_repository_that_cannot_be_cloned_is_an_error_of_the_server(pod, tmp_path):
    url = (tmp_path / "absent.git").as_uri()
    assert pod.client.post("/repos/add", {"url": url}).status_code == 500
    assert not (pod.workspace / "repos" / "absent").exists()
    assert pod.client.post("/repos/add", {"url": ""}).status_code == 400


def test_a_name_may_leave_the_folder_of_repositories(pod, origin):
    """Which is why names are checked before they are sent."""
    assert pod.client.post("/repos/add", {"url": origin.url, "name": "../x"}).is_success
    assert (pod.workspace / "x" / "README").is_file()
    assert pod.client.post("/repos/remove", {"name": "../x"}).is_success
    assert not (pod.workspace / "x").exists()


def test_a_repository_is_removed_with_its_work(pod, origin):
    pod.client.post("/repos/add", {"url": origin.url})
    (pod.workspace / "repos" / "shop" / "work").write_text("not committed")
    for _ in range(2):
        answer = pod.client.post("/repos/remove", {"name": "shop"})
        assert (answer.status_code, answer.json()) == (200, {"message": "Repository removed"})
    assert not (pod.workspace / "repos" / "shop").exists()


def test_repositories_are_described(pod, origin):
    pod.client.post("/repos/add", {"url": origin.url, "branch": "trunk"})
    (pod.workspace / "repos" / "no-repository").mkdir()
    assert pod.client.get("/repos/status").json() == {
        "repos": [
            {
                "url": origin.url,
                "name": "shop",
                "branches": ["trunk"],
                "currentActiveBranch": "trunk",
                "defaultBranch": "trunk",
            }
        ]
    }


def test_a_workflow_becomes_the_working_directory_and_sends_no_prompt(pod, backend, flow):
    answer = pod.client.post("/workflow", {"gitUrl": flow.url, "branch": "main"})
    assert answer.json() == {
        "message": "Workflow updated", "gitUrl": flow.url, "branch": "main", "path": "",
    }  # fmt: skip
    pod.client.run("write note.txt Hello.")
    assert (pod.workspace / "workflows" / "flow" / "note.txt").is_file()
    assert backend.prompts == []
    again = pod.client.post("/workflow", {"gitUrl": flow.url, "branch": "main"})
    assert again.json()["message"] == "Workflow already active"
    assert (pod.workspace / "workflows" / "flow" / "note.txt").is_file()


def test_another_branch_replaces_the_folder_with_its_work(pod, flow):
    pod.client.post("/workflow", {"gitUrl": flow.url, "branch": "main"})
    (pod.workspace / "workflows" / "flow" / "work").write_text("not committed")
    pod.client.post("/workflow", {"gitUrl": flow.url, "branch": "trunk"})
    assert not (pod.workspace / "workflows" / "flow" / "work").exists()


def test_only_the_path_of_a_workflow_is_kept_and_all_if_it_is_absent(pod, flow):
    pod.client.post("/workflow", {"gitUrl": flow.url, "path": ".ambient"})
    assert [each.name for each in (pod.workspace / "workflows/flow").iterdir()] == ["ambient.json"]
    pod.client.post("/workflow", {"gitUrl": flow.url, "path": "absent"})
    assert (pod.workspace / "workflows" / "flow" / "README").is_file()


def test_a_workflow_that_cannot_be_cloned_is_answered_like_any_other(pod, tmp_path):
    url = (tmp_path / "absent.git").as_uri()
    answer = pod.client.post("/workflow", {"gitUrl": url})
    assert (answer.status_code, answer.json()["message"]) == (200, "Workflow updated")
    assert not (pod.workspace / "workflows" / "absent").exists()
    pod.client.run("write note.txt Hello.")
    assert (pod.workspace / "workflows" / "absent" / "note.txt").is_file()


def test_an_empty_url_takes_the_workflow_away(pod, flow):
    pod.client.post("/workflow", {"gitUrl": flow.url})
    assert pod.client.post("/workflow", {"gitUrl": ""}).is_success
    pod.client.run("write note.txt Hello.")
    assert (pod.workspace / "artifacts" / "note.txt").is_file()


def test_a_model_is_changed(pods):
    with pods.running(LLM_MODEL="first") as pod:
        same = pod.client.post("/model", {"model": "first"})
        assert (same.status_code, same.json()["message"]) == (200, "Model unchanged")
        other = pod.client.post("/model", {"model": "any text"})
        assert other.json() == {
            "message": "Model switched", "model": "any text", "previousModel": "first",
        }  # fmt: skip
        assert pod.client.post("/model", {"model": " "}).status_code == 400


def test_a_model_is_not_changed_during_a_run(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    assert pod.client.post("/model", {"model": "another"}).status_code == 422
    pod.client.interrupt_until_end(run)
    assert pod.client.post("/model", {"model": "another"}).status_code == 200


def test_a_model_is_changed_during_a_run_that_another_change_cuts_off(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    pod.client.post("/repos/remove", {"name": "absent"})
    assert pod.client.post("/model", {"model": "another"}).status_code == 200


def test_a_change_keeps_the_conversation(pod, pods, origin):
    pod.client.run("Hello.")
    first = pods.identifier
    pod.client.post("/repos/add", {"url": origin.url})
    assert pod.client.run("And now?").text == "Turn 2: And now?"
    assert pods.identifier == first
