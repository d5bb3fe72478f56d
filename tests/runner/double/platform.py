"""What the double asks of the platform's backend: to start its prompt, and for credentials."""

import asyncio
import os
import subprocess
import sys
import uuid
from typing import Any

import httpx

from tests.runner.double.settings import Settings

PROVIDERS = ("google", "jira", "gitlab", "github", "coderabbit", "gerrit", "kubeconfig")
ATTEMPTS = 8
LONGEST_WAIT = 30.0


class CredentialRefusedError(Exception):
    """The backend answered 401 or 403, which ends the run."""


def make_body(thread: str, prompt: str, source: str) -> dict[str, Any]:
    """Return the body of a run that the runner itself asks for."""
    metadata = {"hidden": True, "autoSent": True, "source": source}
    message = {"id": str(uuid.uuid4()), "role": "user", "content": prompt, "metadata": metadata}
    return {"threadId": thread, "runId": str(uuid.uuid4()), "messages": [message]}


async def ask_for_prompt(settings: Settings, prompt: str) -> None:
    """Ask the backend to run the first prompt, until it says 200 or something final."""
    await asyncio.sleep(settings.times.prompt)
    if not settings.session_url:
        log("cannot run INITIAL_PROMPT: BACKEND_API_URL or PROJECT_NAME is not set")
        return
    body = make_body(settings.session, prompt, "runner_initial_prompt")
    wait = settings.times.retry
    for _ in range(ATTEMPTS):
        if not await _is_worth_another(settings, body):
            return
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)
        body["runId"] = str(uuid.uuid4())
    log(f"the prompt was not accepted in {ATTEMPTS} attempts")


async def _is_worth_another(settings: Settings, body: dict[str, Any]) -> bool:
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
            answer = await client.post(
                f"{settings.session_url}/agui/run", json=body, headers=authorization(settings)
            )
    except httpx.HTTPError as error:
        log(f"the prompt call failed: {type(error).__name__}")
        return True
    log(f"the prompt call was answered {answer.status_code}")
    if answer.status_code == 200:
        return False
    again = answer.status_code >= 500 or answer.status_code == 401
    return again or "not available" in answer.text.lower()


async def report_added(settings: Settings, name: str) -> None:
    """Ask the backend, a second later, to tell the agent about a new repository."""
    await asyncio.sleep(1)
    namespace = settings.get("AGENTIC_SESSION_NAMESPACE")
    if not settings.backend or not namespace:
        return
    body = make_body(settings.session, f"Repository {name} is now in repos/{name}.", "repo_added")
    url = f"{settings.backend}/projects/{namespace}/agentic-sessions/{settings.session}/agui/run"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.post(url, json=body, headers=authorization(settings))
    except httpx.HTTPError as error:
        log(f"the report of {name} failed: {type(error).__name__}")


async def fetch_credentials(settings: Settings) -> None:
    """Ask for all credentials at once, each on its own connection, and set git's identity.

    Raises:
        CredentialRefusedError: One was answered 401 or 403.
    """
    fetched = await asyncio.gather(*(_fetch(settings, provider) for provider in PROVIDERS))
    answers = dict(zip(PROVIDERS, fetched, strict=True))
    _set_identity(settings, answers)
    refused = [provider for provider in PROVIDERS if answers[provider].get("refused")]
    if refused:
        raise CredentialRefusedError(f"credentials refused for {', '.join(refused)}")


async def _fetch(settings: Settings, provider: str) -> dict[str, Any]:
    if not settings.session_url:
        return {}
    url = f"{settings.session_url}/credentials/{provider}"
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.get(url, headers=authorization(settings))
        if answer.status_code in {401, 403}:
            return {"refused": True}
        content = answer.json() if answer.is_success else {}
    except (httpx.HTTPError, ValueError) as error:
        log(f"no credential {provider}: {type(error).__name__}")
        return {}
    return content if isinstance(content, dict) else {}


def _set_identity(settings: Settings, answers: dict[str, dict[str, Any]]) -> None:
    """GitHub's name and address win over GitLab's."""
    name, email = "Agent", "agent@example.invalid"
    for provider in ("gitlab", "github"):
        if answers[provider].get("token"):
            name = answers[provider].get("userName") or name
            email = answers[provider].get("email") or email
    for key, value in (("user.name", name), ("user.email", email)):
        command = ["git", "config", "--global", key, value]
        done = subprocess.run(
            command,
            env={**os.environ, "HOME": str(settings.home)},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            log(f"git config --global {key} ended with {done.returncode}")


def authorization(settings: Settings) -> dict[str, str]:
    """Return the header with the bot's token, if there is one."""
    token = settings.get("BOT_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def log(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"double: {text}\n")
    sys.stderr.flush()
