"""Session files in a folder, an embedded cluster in a file, and runs of the program on both."""

import json
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.report.json_schema import build_report_schema
from tests.builders import ref_of
from tests.session_files import defaults_text, policy_text, session_text

ON_CLUSTERS = ["diff", "apply", "status"]
BROKEN = "initialPromt: work"


@dataclass(frozen=True)
class RunResult:
    """The exit code and output of a run of the program."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The document on standard output, validated against its schema."""
        document = json.loads(self.out)
        jsonschema.validate(document, build_report_schema())
        return document


class Tree:
    """A folder `desired` and a cluster file next to it; `go` runs the program on them."""

    def __init__(self, folder: Path, capsys):
        self.root = folder / "desired"
        self.root.mkdir()
        self.state = folder / "cluster.json"
        self._capsys = capsys
        self.write("policy.yaml", policy_text())
        self.write("defaults.yaml", defaults_text())

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        return self

    def add(self, name, spec="initialPrompt: work", namespace="team-a"):
        return self.write(f"{namespace}/{name}.yaml", session_text(name, spec))

    def drop(self, name, namespace="team-a"):
        (self.root / namespace / f"{name}.yaml").unlink()
        return self

    def go(self, command, *arguments):
        """Run a command on the folder and, if the command needs one, on the embedded cluster."""
        cluster = ["--cluster", f"embedded:{self.state}"]
        needs_cluster = command in {"diff", "apply", "status"}
        return self.run(command, str(self.root), *(cluster if needs_cluster else []), *arguments)

    def run(self, *arguments):
        self._capsys.readouterr()
        code = run_reconcile_cli(list(arguments))
        output = self._capsys.readouterr()
        assert "Traceback" not in output.out
        return RunResult(int(code), output.out, output.err)

    @property
    def cluster(self):
        return EmbeddedCluster(self.state)

    def edit(self, kind, name, *operations):
        """Change an object as another manager."""
        return self.cluster.edit(ref_of(kind, name), operations, "stranger")

    def objects(self):
        return json.loads(self.state.read_text())["items"] if self.state.exists() else []
