"""Runs this program's other commands, as any other CI would: by their documented command line."""

import sys
from dataclasses import dataclass
from pathlib import Path

from reconcile.ci.environment import without_tokens
from reconcile.ci.ports import Ended, Surroundings


@dataclass(frozen=True, slots=True)
class Offline:
    """Compare with the files at this revision: no cluster, no credentials."""

    revision: str


@dataclass(frozen=True, slots=True)
class Live:
    """Compare with the cluster that this kubeconfig names; empty means kubectl's rules."""

    kubeconfig: str


@dataclass(frozen=True, slots=True)
class Program:
    """The program, for one folder; `templates` may be empty. Paths are seen from `top`."""

    around: Surroundings
    top: Path
    folder: str
    templates: str

    def validate(self, form: str) -> Ended:
        """Run `reconcile validate`."""
        return self._run("validate", f"--output={form}")

    def diff(self, against: Offline | Live, limit: int) -> Ended:
        """Run `reconcile diff`; its output is Markdown of at most `limit` bytes."""
        if isinstance(against, Offline):
            where = [f"--against={against.revision}"]
        else:
            where = [f"--kubeconfig={against.kubeconfig}"] if against.kubeconfig else []
        return self._run("diff", *where, "--output=markdown", f"--limit={limit}")

    def _run(self, command: str, *options: str) -> Ended:
        # -P: a folder `reconcile` in the checkout must not be taken for this program.
        interpreter = [sys.executable, "-P", "-m", "reconcile"]
        templates = [f"--templates={self.templates}"] if self.templates else []
        environ = without_tokens(self.around.environ)
        arguments = [*options, *templates, "--", self.folder]
        return self.around.run([*interpreter, command, *arguments], environ, self.top)
