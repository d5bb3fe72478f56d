"""The inputs of a session, as the mounted ConfigMap has them now.

Each key is a file with the name of the variable that the platform's runner reads. The kubelet
replaces all of them at once, by a link to another folder.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

PROMPT_KEYS: Final = ("INITIAL_PROMPT", "LONG_PROMPT")
"""A prompt that is too long for a variable has a key of its own, which the runner does not read."""

_DATA_LINK: Final = "..data"
_LARGEST_INPUT: Final = 2 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class InputsError(Exception):
    """The inputs cannot be read, or are not what this program expects."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository to clone into `repos/<name>`; an empty branch is the repository's default."""

    url: str
    name: str
    branch: str = ""


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow to clone into `workflows/<name>`, of which only the folder `path` is kept."""

    url: str
    branch: str = ""
    path: str = ""

    @property
    def name(self) -> str:
        """The folder in which the runner looks for it.

        It is the second part of an http URL's path, whether or not more follow; of other URLs it is
        the last part.
        """
        parts = [each for each in self.url.split("/")[3:] if each]
        is_http = self.url.startswith(("http://", "https://"))
        return parts[1].removesuffix(".git") if is_http and len(parts) > 1 else self.cloned_name

    @property
    def cloned_name(self) -> str:
        """The folder into which a running runner clones it, which need not be `name`."""
        return self.url.rstrip("/").rpartition("/")[2].removesuffix(".git")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the agent is to do; empty values and None are not set."""

    prompt: str = ""
    is_long_prompt: bool = False
    repositories: tuple[Repository, ...] = ()
    workflow: Workflow | None = None
    model: str = ""

    @property
    def prompt_digest(self) -> str:
        """The digest of the prompt and the workflow as declared; empty if there is neither."""
        if not self.prompt and self.workflow is None:
            return ""
        workflow = self.workflow
        parts = [self.prompt, *([workflow.url, workflow.branch, workflow.path] if workflow else [])]
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()


def name_of_url(url: str) -> str:
    """Return the folder into which git clones a URL: its last part without `.git`."""
    return re.split("[/:]", url.rstrip("/"))[-1].removesuffix(".git")


def is_safe_name(name: str) -> bool:
    """Whether a name is one folder: `../x` would leave `repos/`."""
    return bool(_NAME.fullmatch(name)) and ".." not in name


def read_inputs(directory: Path) -> Inputs:
    """Read all inputs from one version of the mounted ConfigMap.

    Raises:
        InputsError: A file cannot be read, or has an invalid value.
    """
    values = _read_values(directory)
    prompt_key = next((key for key in PROMPT_KEYS if values.get(key)), "")
    url = values.get("ACTIVE_WORKFLOW_GIT_URL", "")
    return Inputs(
        prompt=values.get(prompt_key, ""),
        is_long_prompt=prompt_key == PROMPT_KEYS[1],
        repositories=tuple(_parse_repositories(values.get("REPOS_JSON", ""))),
        workflow=_parse_workflow(url, values) if url else None,
        model=values.get("LLM_MODEL", ""),
    )


def _read_values(directory: Path) -> dict[str, str]:
    try:
        link = directory / _DATA_LINK
        folder = link.resolve(strict=True) if link.is_symlink() else directory
        return {each.name: _read_value(each) for each in folder.iterdir() if each.is_file()}
    except OSError as error:
        raise InputsError(f"the inputs in {directory} cannot be read: {error.strerror}") from error


def _read_value(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(_LARGEST_INPUT + 1)
    if len(data) > _LARGEST_INPUT:
        raise InputsError(f"{path.name} has more than {_LARGEST_INPUT} bytes")
    return data.decode(errors="replace")


def _parse_repositories(text: str) -> Iterator[Repository]:
    try:
        items: Any = orjson.loads(text or "[]")
    except orjson.JSONDecodeError as error:
        raise InputsError(f"REPOS_JSON is not JSON: {error}") from error
    for index, item in enumerate(items if isinstance(items, list) else [None]):
        if not isinstance(item, dict) or not isinstance(item.get("url"), str):
            raise InputsError(f"REPOS_JSON[{index}] has no `url`")
        name = str(item.get("name") or name_of_url(item["url"]))
        _check_name(f"REPOS_JSON[{index}]", name)
        yield Repository(item["url"], name, str(item.get("branch") or ""))


def _parse_workflow(url: str, values: dict[str, str]) -> Workflow:
    workflow = Workflow(
        url, values.get("ACTIVE_WORKFLOW_BRANCH", ""), values.get("ACTIVE_WORKFLOW_PATH", "")
    )
    _check_name("ACTIVE_WORKFLOW_GIT_URL", workflow.name)
    if workflow.path.startswith("/") or ".." in workflow.path.split("/"):
        raise InputsError("ACTIVE_WORKFLOW_PATH must be a path inside of the repository")
    return workflow


def _check_name(where: str, name: str) -> None:
    if not is_safe_name(name):
        shown = name.rpartition("@")[2][:100]  # a URL without a path ends with its host
        raise InputsError(f"{where} has the folder name {shown!r}, which is not one folder")
