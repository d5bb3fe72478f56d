"""Runs a composite Action as GitHub's runner does; supports the expressions that ours uses."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ruamel.yaml import YAML

from tests.ci.repositories import ENVIRON

_EXPRESSION = re.compile(r"\$\{\{\s*([a-z._-]+)\s*\}\}")
_EQUALS = re.compile(r"([a-z._-]+) == '([^']*)'")


@dataclass
class Step:
    """How a step ended, and what it printed."""

    name: str
    code: int
    log: str


@dataclass
class Ran:
    """How a run of the Action ended."""

    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def failed(self):
        return any(step.code for step in self.steps)

    @property
    def log(self):
        return "".join(step.log for step in self.steps)


class Action:
    """One Action; `run` does all its steps in a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = YAML(typ="safe").load((folder / "action.yml").read_text("utf-8"))

    def run(self, workspace: Path, temp: Path, environ, **inputs) -> Ran:
        unknown = set(inputs) - set(self.document["inputs"])
        assert not unknown
        contexts = {"github.token": environ.get("JOB_TOKEN", "")}
        for name, definition in self.document["inputs"].items():
            default = self._expand(definition["default"], contexts)
            contexts[f"inputs.{name}"] = inputs.get(name, default)
        ran = Ran()
        for step in self.document["runs"]["steps"]:
            if not self._wanted(step, contexts):
                continue
            ended = self._step(step, contexts, (workspace, temp, environ), ran)
            if ended.code:
                break
        for name, definition in self.document["outputs"].items():
            ran.outputs[name] = self._expand(definition["value"], contexts)
        return ran

    def _step(self, step, contexts, place, ran) -> Step:
        workspace, temp, environ = place
        files = {name: temp / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        script = temp / "script.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=workspace / self._expand(step.get("working-directory", "."), contexts),
            env={
                **ENVIRON,
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(self.folder),
                "GITHUB_WORKSPACE": str(workspace),
                "RUNNER_TEMP": str(temp),
                **{name: str(path) for name, path in files.items()},
                **environ,
                **{name: self._expand(text, contexts) for name, text in step["env"].items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        for line in files["GITHUB_OUTPUT"].read_text().splitlines():
            name, _, value = line.partition("=")
            contexts[f"steps.{step['id']}.outputs.{name}"] = value
        ran.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        ran.steps.append(Step(step["name"], done.returncode, done.stdout))
        return ran.steps[-1]

    def _wanted(self, step, contexts) -> bool:
        if "if" not in step:
            return True
        name, value = _EQUALS.fullmatch(step["if"]).groups()
        return contexts[name] == value

    def _expand(self, text: str, contexts) -> str:
        expanded = _EXPRESSION.sub(lambda found: contexts.get(found[1], ""), str(text))
        assert "${{" not in expanded, text
        return expanded


def searched(*folders: Path) -> str:
    """A $PATH that begins with these folders."""
    return os.pathsep.join([*map(str, folders), os.environ["PATH"]])
