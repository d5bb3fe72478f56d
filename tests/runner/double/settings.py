"""The variables of the double: those of the runner's container, and those for tests."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson

RUN_FAULTS = (
    "",
    "never",  # accepts the request and sends nothing, not even headers
    "401",
    "500",
    "silent",  # RUN_STARTED, and nothing more
    "endless",  # an event each 50 ms, without end
    "break",  # closes the connection in the middle of an event
    "huge",  # one event of DOUBLE_HUGE_BYTES
    "typeless",  # an event without type, then as usual
    "not-json",  # a line that is no JSON, then as usual
    "invalid-utf8",  # an event that is not UTF-8, then as usual
    "no-result",  # RUN_FINISHED without `result`
    "run-error",  # RUN_ERROR alone, as with a missing key
)


@dataclass(frozen=True, slots=True)
class Faults:
    """How the double misbehaves.

    Attributes:
        run: `DOUBLE_RUN`, one of RUN_FAULTS.
        run_times: `DOUBLE_RUN_TIMES`: that many runs misbehave, then no more; 0 is all.
        error: `DOUBLE_ERROR`, the message of `run-error`.
        huge_bytes: `DOUBLE_HUGE_BYTES`, the size of the event of `huge`.
        health: `DOUBLE_HEALTH`: the status of `/health`, or `never`.
        changes: `DOUBLE_CHANGES`: the status of `/repos/*`, `/workflow` and `/model`, or `never`.
    """

    run: str = ""
    run_times: int = 0
    error: str = "the model has no key"
    huge_bytes: int = 100 << 20
    health: str = ""
    changes: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """Waits in seconds.

    Attributes:
        prompt: `DOUBLE_PROMPT_DELAY` or `INITIAL_PROMPT_DELAY_SECONDS`: from the start to its own
            prompt call.
        retry: `DOUBLE_RETRY_SECONDS`: before the second prompt call; doubled each time up to 30.
        cut: `DOUBLE_CUT_SECONDS`: from a change to the end of the run that it cuts off.
        stop: `DOUBLE_STOP_SECONDS`: for an open run after SIGTERM.
        refused: `DOUBLE_REFUSED_SECONDS`: of silence when the model refuses the key.
        start: `DOUBLE_START_SECONDS`: before it listens.
    """

    prompt: float = 2.0
    retry: float = 2.0
    cut: float = 15.0
    stop: float = 25.0
    refused: float = 188.0
    start: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it; `variables` is what the real runner changes while it runs."""

    session: str
    workspace: Path
    home: Path
    state_dir: str
    token: str
    backend: str
    record: Path | None
    faults: Faults
    times: Times
    variables: dict[str, str] = field(repr=False)

    def get(self, name: str) -> str:
        """Return a variable without white space; empty if it is not set."""
        return self.variables.get(name, "").strip()

    @property
    def project(self) -> str:
        """The namespace in paths of the backend."""
        return self.get("PROJECT_NAME") or self.get("AGENTIC_SESSION_NAMESPACE")

    @property
    def session_url(self) -> str:
        """The session in the backend's API, empty if the backend is not known."""
        if not self.backend or not self.project:
            return ""
        return f"{self.backend}/projects/{self.project}/agentic-sessions/{self.session}"

    @property
    def repositories(self) -> list[dict]:
        """The items of REPOS_JSON that it reads: those with `url`; bad JSON is no repository."""
        return [each for each in self.raw_repositories if str(each.get("url") or "").strip()]

    @property
    def raw_repositories(self) -> list[dict]:
        """All items of REPOS_JSON."""
        try:
            items = orjson.loads(self.get("REPOS_JSON") or "[]")
        except orjson.JSONDecodeError:
            return []
        return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []

    @property
    def workflow(self) -> Path | None:
        """The folder of the active workflow, which need not be there."""
        url = self.get("ACTIVE_WORKFLOW_GIT_URL")
        return self.workspace / "workflows" / name_at_start(url) if url else None

    def make_working_directory(self) -> Path:
        """Return the workflow's folder, else the main repository's, else `artifacts`; make it."""
        directory = self.workflow or self._main_repository() or self.workspace / "artifacts"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _main_repository(self) -> Path | None:
        names = [each.get("name") or name_at_start(each["url"]) for each in self.repositories]
        if not names:
            return None
        index = self.get("MAIN_REPO_INDEX")
        main = names[int(index) if index.isdigit() and int(index) < len(names) else 0]
        return self.workspace / "repos" / (self.get("MAIN_REPO_NAME") or main)


def read_settings(variables: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from variables."""
    get = variables.get
    return Settings(
        session=get("SESSION_ID", "unknown"),
        workspace=Path(get("WORKSPACE_PATH", "/workspace")),
        home=Path(get("HOME", "/app")),
        state_dir=get("RUNNER_STATE_DIR") or ".claude",
        token=get("AGUI_TOKEN", "").strip(),
        backend=get("BACKEND_API_URL", "").rstrip("/"),
        record=Path(variables["DOUBLE_RECORD"]) if get("DOUBLE_RECORD") else None,
        faults=_read_faults(variables),
        times=_read_times(variables),
        variables=dict(variables),
    )


def _read_faults(variables: Mapping[str, str]) -> Faults:
    fault = variables.get("DOUBLE_RUN", "")
    if fault not in RUN_FAULTS:
        raise SystemExit(f"DOUBLE_RUN={fault} is not one of {', '.join(RUN_FAULTS[1:])}")
    return Faults(
        run=fault,
        run_times=int(variables.get("DOUBLE_RUN_TIMES", "0")),
        error=variables.get("DOUBLE_ERROR", Faults().error),
        huge_bytes=int(variables.get("DOUBLE_HUGE_BYTES", Faults().huge_bytes)),
        health=variables.get("DOUBLE_HEALTH", ""),
        changes=variables.get("DOUBLE_CHANGES", ""),
    )


def _read_times(variables: Mapping[str, str]) -> Times:
    def read(name: str, default: float | str) -> float:
        return float(variables.get(f"DOUBLE_{name}", default))

    return Times(
        prompt=read("PROMPT_DELAY", variables.get("INITIAL_PROMPT_DELAY_SECONDS", "2")),
        retry=read("RETRY_SECONDS", 2.0),
        cut=read("CUT_SECONDS", 15.0),
        stop=read("STOP_SECONDS", 25.0),
        refused=read("REFUSED_SECONDS", 188.0),
        start=read("START_SECONDS", 0.0),
    )


def name_of_url(url: str) -> str:
    """Return the folder name that changes while running take from a URL: its last part."""
    return url.rsplit("/", maxsplit=1)[-1].removesuffix(".git")


def name_at_start(url: str) -> str:
    """Return the folder name that is taken from a URL at the start.

    It is the second part of an http URL's path, which is the last one only if there are two; for
    every other URL it is the last part.
    """
    url = url.strip().removesuffix(".git")
    parts = [part for part in urlsplit(url).path.split("/") if part]
    if url.startswith(("http://", "https://")) and len(parts) >= 2:
        return parts[1]
    return url.replace(":", "/").rsplit("/", 1)[-1].removesuffix(".git")
