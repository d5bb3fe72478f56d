"""A pod's folders for `reconcile-runner prepare`, and ways to run it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reconcile.runner.credentials import Credentials, CredentialSource
from reconcile.runner.prepare import PrepareOptions, run_prepare


@dataclass
class Pod:
    """The folders of one pod below `folder`; `options` are further ones of `prepare`."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    sources: tuple[CredentialSource, ...] = ()

    def __post_init__(self) -> None:
        for each in (self.workspace, self.inputs, self.credentials):
            each.mkdir()

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def inputs(self) -> Path:
        return self.folder / "inputs"

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "termination-log"

    def set_repositories(self, *items: dict[str, str]) -> None:
        (self.inputs / "REPOS_JSON").write_text(json.dumps(items))

    def set_workflow(self, url: str, path: str = "", branch: str = "") -> None:
        for name, value in (("GIT_URL", url), ("PATH", path), ("BRANCH", branch)):
            (self.inputs / f"ACTIVE_WORKFLOW_{name}").write_text(value)

    def set_credential(self, provider: str, host: str, **fields: str) -> None:
        """Declare a credential of the Secret `git-<provider>`, with the given fields."""
        folder = self.credentials / provider
        folder.mkdir(parents=True)
        for name, value in fields.items():
            (folder / name).write_text(value)
        keys = {"token": "TOKEN", "sshKey": "ssh-privatekey", "knownHosts": "known_hosts"}
        self.sources += (CredentialSource(provider, f"git-{provider}", keys, host),)

    def prepare(self) -> int:
        """Run `prepare` in this process, and return its exit code."""
        return run_prepare(
            PrepareOptions(
                **{
                    "workspace": self.workspace,
                    "inputs": self.inputs,
                    "state_dir": ".claude",
                    "state": self.state,
                    "credentials": Credentials(self.credentials, self.sources),
                    "termination_log": self.log,
                    "environ": os.environ,
                    "allow_files": True,
                    **self.options,
                }
            )
        )

    def start(self, *options: str, **environ: str) -> subprocess.Popen:
        """Start the program, with its options by variables; its output goes to a file."""
        variables = {
            "WORKSPACE": self.workspace,
            "INPUTS": self.inputs,
            "STATE": self.state,
            "CREDENTIALS": self.credentials,
            "TERMINATION_LOG": self.log,
        }
        named = {f"RECONCILE_RUNNER_{name}": str(value) for name, value in variables.items()}
        with (self.folder / "output").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "reconcile.runner", "prepare", *options],
                env={**os.environ, **named, **environ},
                stdout=output,
                stderr=output,
            )

    def run(self, *options: str, **environ: str) -> tuple[int, str]:
        """Run the program to its end, and return its exit code and output."""
        process = self.start(*options, **environ)
        return process.wait(60), (self.folder / "output").read_text()

    @property
    def message(self) -> dict[str, Any]:
        """The termination message, which the kubelet and the reconciler accept."""
        data = self.log.read_bytes()
        assert len(data) <= 2000
        assert b"\n" not in data
        return json.loads(data)

    def find_repository(self, name: str) -> dict[str, str]:
        """What the message says of a repository."""
        return next(each for each in self.message["repositories"] if each["name"] == name)
