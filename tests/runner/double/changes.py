"""Changes while running: repositories, the workflow and the model."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from tests.runner.double import platform
from tests.runner.double.agent import Agent
from tests.runner.double.settings import Settings, name_of_url

HELPER = '!f() { echo "username=token"; echo "password=$DOUBLE_GIT_TOKEN"; }; f'
TOKEN_HEADERS = {"github": "x-github-token", "gitlab": "x-gitlab-token"}


class RefusedError(Exception):
    """A change is not made; the status and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def add_repository(agent: Agent, body: dict, headers: dict[str, str]) -> dict[str, Any]:
    """Clone a repository, or switch the branch of a folder that is there."""
    url, branch = body.get("url", ""), body.get("branch", "main")
    if not url:
        raise RefusedError(400, "url is required")
    settings = agent.settings
    name = body.get("name", "") or name_of_url(url)
    branch = branch.strip() or f"ambient/{_session_name(settings)}"
    # Joined without a check, as the real one does: `../x` is outside of `repos`.
    folder = settings.workspace / "repos" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    is_new = not folder.exists()
    done = await (_clone(url, branch, folder, headers) if is_new else _switch(folder, branch))
    if not done:
        raise RefusedError(500, f"cannot clone {url}")
    if is_new:
        added = {"name": name, "input": {"url": url, "branch": branch}}
        _set_repositories(settings, [*settings.raw_repositories, added])
        agent.mark_changed()
        agent.start_task(platform.report_added(settings, name))
    return {
        "message": "Repository added", "name": name, "path": str(folder), "newly_cloned": is_new,
    }  # fmt: skip


def remove_repository(agent: Agent, body: dict) -> dict[str, Any]:
    """Remove a folder with all that is in it; one that is absent is no error."""
    settings, name = agent.settings, body.get("name", "")
    folder = settings.workspace / "repos" / name
    if folder.exists():
        shutil.rmtree(folder)
    kept = [each for each in settings.raw_repositories if each.get("name") != name]
    _set_repositories(settings, kept)
    agent.mark_changed()
    return {"message": "Repository removed"}


async def repository_status(settings: Settings) -> dict[str, Any]:
    """Describe each repository in `repos`."""
    parent = settings.workspace / "repos"
    folders = (
        [each for each in parent.iterdir() if (each / ".git").exists()] if parent.is_dir() else []
    )
    return {"repos": [await _describe(folder) for folder in folders]}


async def change_workflow(agent: Agent, body: dict, headers: dict[str, str]) -> dict[str, Any]:
    """Replace the workflow; a clone that fails is not reported."""
    variables = agent.settings.variables
    url = (body.get("gitUrl") or "").strip()
    branch = (body.get("branch") or "").strip() or "main"
    path = (body.get("path") or "").strip()
    answer = {"gitUrl": url, "branch": branch, "path": path}
    active = (
        agent.settings.get("ACTIVE_WORKFLOW_GIT_URL"),
        agent.settings.get("ACTIVE_WORKFLOW_BRANCH") or "main",
        agent.settings.get("ACTIVE_WORKFLOW_PATH"),
    )
    if active == (url, branch, path):
        return {"message": "Workflow already active", **answer}
    if url:
        folder = agent.settings.workspace / "workflows" / name_of_url(url)
        await _clone_workflow(url, branch, path, folder, headers)
    variables["ACTIVE_WORKFLOW_GIT_URL"] = url
    variables["ACTIVE_WORKFLOW_BRANCH"] = branch
    variables["ACTIVE_WORKFLOW_PATH"] = path
    agent.mark_changed()
    return {"message": "Workflow updated", **answer}


def change_model(agent: Agent, body: dict) -> dict[str, Any]:
    """Change the model of the next run; any text is one."""
    model, previous = (
        (body.get("model") or "").strip(),
        agent.settings.variables.get("LLM_MODEL", ""),
    )
    if not model:
        raise RefusedError(400, "model is required")
    if model == previous:
        return {"message": "Model unchanged", "model": model}
    if agent.is_generating:
        raise RefusedError(422, "the agent is generating; wait for the end of its turn")
    agent.settings.variables["LLM_MODEL"] = model
    agent.mark_changed()
    return {"message": "Model switched", "model": model, "previousModel": previous}


def _session_name(settings: Settings) -> str:
    return settings.get("AGENTIC_SESSION_NAME") or settings.session


def _set_repositories(settings: Settings, items: list[dict]) -> None:
    settings.variables["REPOS_JSON"] = orjson.dumps(items).decode()


async def _clone(url: str, branch: str, folder: Path, headers: dict[str, str]) -> bool:
    """Clone all branches; a branch that is not there leaves the default branch."""
    with tempfile.TemporaryDirectory(prefix="repo-clone-") as temporary:
        clone = Path(temporary) / "clone"
        code, _ = await _git("clone", url, str(clone), token=_token_for(url, headers))
        if code:
            return False
        await _git("-C", str(clone), "checkout", branch)
        clone.chmod(0o700)
        shutil.move(clone, folder)
    return True


async def _switch(folder: Path, branch: str) -> bool:
    """Switch a folder's branch; what is not committed is carried along."""
    in_folder = ("-C", str(folder))
    await _git(*in_folder, "fetch", "origin")
    for last in (("checkout", branch), ("checkout", "-b", branch)):
        if not (await _git(*in_folder, *last))[0]:
            return True
    return False


async def _clone_workflow(
    url: str, branch: str, path: str, folder: Path, headers: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory(prefix="workflow-clone-") as temporary:
        clone = Path(temporary) / "clone"
        options = ("--branch", branch, "--single-branch", "--depth", "1")
        code, _ = await _git("clone", *options, url, str(clone), token=_token_for(url, headers))
        if code:
            platform.log(f"the workflow {folder.name} was not cloned")
            return
        source = clone / path if path and (clone / path).is_dir() else clone
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, folder)


async def _describe(folder: Path) -> dict[str, Any]:
    async def ask(*arguments: str) -> str:
        return (await _git("-C", str(folder), *arguments))[1].strip()

    default = await ask("symbolic-ref", "refs/remotes/origin/HEAD")
    return {
        "url": await ask("config", "--get", "remote.origin.url"),
        "name": folder.name,
        "branches": (await ask("branch", "--format=%(refname:short)")).split("\n"),
        "currentActiveBranch": await ask("rev-parse", "--abbrev-ref", "HEAD"),
        "defaultBranch": default.rsplit("/", 1)[-1] or "main",
    }


def _token_for(url: str, headers: dict[str, str]) -> str:
    """A token is used for hosts whose name has `github` or `gitlab` in it, and for no other."""
    host = urlsplit(url).hostname or ""
    return next((headers.get(each, "") for part, each in TOKEN_HEADERS.items() if part in host), "")


async def _git(*arguments: str, token: str = "") -> tuple[int, str]:
    helper = ("-c", f"credential.helper={HELPER}") if token else ()
    process = await asyncio.create_subprocess_exec(
        "git", *helper, *arguments,
        env={**os.environ, "DOUBLE_GIT_TOKEN": token},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")
