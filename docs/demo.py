"""Shows the main job on an embedded cluster and an embedded S3 server: `make demo`.

Every step is a command that a user would type; what the command prints is what you see.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.demo_pod import run_session
from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.model import ObjectRef

ROOT = Path(__file__).parent.parent
MORE = """\
apiVersion: vteam.ambient-code/v1alpha1
kind: AgenticSession
metadata:
  name: {name}
spec:
  initialPrompt: {prompt}
  storage: {{mode: shared}}
"""
STORAGE = """\
  storage: {sharedSecretName: reconcile-storage}
  mirror: {intervalSeconds: 1}
"""


class Demo:
    """One run in a throw-away git repository with a throw-away cluster."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.state = home / "cluster.json"
        self.failed = False

    def title(self, text: str) -> None:
        """Begin a step."""
        print(f"\n\033[1m━━ {text}\033[0m", flush=True)

    def fail(self, reason: str) -> None:
        """Say what is not as it should be; the demo ends with 1."""
        self.failed = True
        print(f"\033[31m{reason}\033[0m", flush=True)

    def command(self, text: str) -> None:
        """Show a command that a user would type."""
        print(f"\033[2m$ {text}\033[0m", flush=True)

    def reconcile(self, *arguments: str, expect: int = 0) -> None:
        """Run one command and check its exit code."""
        self.command(f"reconcile {' '.join(arguments)}")
        code = self._run(*arguments).returncode
        print(f"\033[2m(exit code {code})\033[0m", flush=True)
        if code != expect:
            self.fail(f"expected exit code {expect}")

    def output(self, *arguments: str) -> str:
        """Give what one command prints, as something else is to be done with it."""
        return self._run(*arguments, capture_output=True).stdout.decode()

    def edit(self, file: str, before: str, after: str) -> None:
        """Change a session file and commit."""
        path = self.home / "desired" / file
        text = path.read_text(encoding="utf-8")
        if before not in text:
            raise SystemExit(f"{file} no longer has `{before}`: mend docs/demo.py")
        path.write_text(text.replace(before, after), encoding="utf-8")
        self.commit(f"{file}: {before.strip()} → {after.strip()}")

    def remove(self, *files: str) -> None:
        """Remove session files and commit."""
        for file in files:
            (self.home / "desired" / file).unlink()
        self.commit(f"remove {', '.join(files)}")

    def restore(self, file: str) -> None:
        """Bring a removed sample back and commit."""
        shutil.copy(ROOT / "desired" / file, self.home / "desired" / file)
        self.commit(f"restore {file}")

    def commit(self, message: str) -> None:
        """Commit the tree; without git the revision is just not known."""
        if shutil.which("git") is None:
            return
        if not (self.home / ".git").exists():
            self._git("init", "--quiet")
        print(f"\033[2m$ git commit -am {message!r}\033[0m", flush=True)
        self._git("add", "desired")
        self._git("commit", "--quiet", "--message", message)

    def _run(
        self, *arguments: str, capture_output: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "reconcile", *arguments]
        if arguments[0] in {"diff", "apply", "status"}:
            command += ["--cluster", f"embedded:{self.state}"]
        return subprocess.run(
            command,
            cwd=self.home,
            env=self._environment(),
            check=False,
            capture_output=capture_output,
        )

    def _git(self, *arguments: str) -> None:
        author = ["-c", "user.name=demo", "-c", "user.email=demo@example.com"]
        subprocess.run(["git", *author, *arguments], cwd=self.home, check=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}


def stranger(state: Path, ref: ObjectRef, path: str, value: object) -> None:
    """Change an object as a user with kubectl does."""
    operation = {"op": "replace", "path": path, "value": value}
    EmbeddedCluster(state).edit(ref, [operation], "kubectl-edit")


def prepare(demo: Demo) -> None:
    """Copy the sample sessions into a repository, with a few more."""
    shutil.copytree(ROOT / "desired", demo.home / "desired")
    defaults = demo.home / "desired" / "defaults.yaml"
    defaults.write_text(f"{defaults.read_text(encoding='utf-8')}{STORAGE}", encoding="utf-8")
    for name, prompt in {"triage": "write tickets.md sorted", "nightly": "Run all tests."}.items():
        file = demo.home / "desired" / "team-a" / f"{name}.yaml"
        file.write_text(MORE.format(name=name, prompt=prompt), encoding="utf-8")
    demo.commit("sample sessions")


def first_steps(demo: Demo) -> None:
    """Show a plan, an apply, a pass with nothing to do, and a minimal patch."""
    demo.title("1. Session files, and what they would do to an empty cluster")
    prepare(demo)
    demo.reconcile("validate", "desired")
    demo.reconcile("diff", "desired", expect=1)

    demo.title("2. Apply, and a second pass with nothing to do")
    demo.reconcile("apply", "desired")
    demo.reconcile("diff", "desired")
    demo.reconcile("status", "desired")

    demo.title("3. One edited field: the minimal patch")
    demo.edit("team-a/fix-login.yaml", "topic: login", "topic: security")
    demo.reconcile("diff", "desired", expect=1)
    demo.edit("team-a/fix-login.yaml", "topic: security", "topic: login")
    demo.edit("team-a/fix-login.yaml", "app: workspace-gateway", "app: gateway")
    demo.reconcile("diff", "desired", "-o", "json", expect=1)
    demo.reconcile("apply", "desired")


def running_work(demo: Demo) -> None:
    """Show a held restart and its release, a drift and its repair."""
    demo.title("4. A change that would end running work is held ...")
    variables = "  environmentVariables: {LOG_LEVEL: DEBUG}\n  network:\n"
    demo.edit("team-a/fix-login.yaml", "  network:\n", variables)
    demo.reconcile("apply", "desired")
    demo.title("   ... until its author says so")
    demo.edit("team-a/fix-login.yaml", "  runner:\n", "  update: {strategy: Recreate}\n  runner:\n")
    demo.reconcile("apply", "desired")

    demo.title("5. A manual change of the live Service: drift, and its repair")
    service = ObjectRef("", "Service", "team-a", "session-fix-login")
    stranger(demo.state, service, "/spec/ports/0/targetPort", 9999)
    demo.reconcile("diff", "desired", expect=1)
    demo.title("   ... and the same as a comment for a pull request")
    demo.reconcile("diff", "desired", "-o", "markdown", expect=1)
    demo.reconcile("apply", "desired")


def endings(demo: Demo) -> None:
    """Show a prune, a refused prune, and a broken file."""
    demo.title("6. A removed file ends its session in order: pod first, Record last")
    demo.remove("team-a/nightly.yaml")
    demo.reconcile("apply", "desired")

    demo.title("7. Too many removed at once: refused, nothing is deleted")
    demo.remove("team-b/two-sessions.yaml")
    demo.reconcile("apply", "desired", expect=6)

    demo.title("8. A file that broke deletes nothing; all other sessions go on")
    demo.edit("team-a/triage.yaml", "initialPrompt", "initialPromt")
    demo.reconcile("diff", "desired", expect=3)
    demo.edit("team-a/triage.yaml", "initialPromt", "initialPrompt")
    demo.restore("team-b/two-sessions.yaml")


def main() -> int:
    """Run the demo in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="reconcile-demo-") as folder:
        demo = Demo(Path(folder))
        for part in (first_steps, running_work, endings, run_session):
            part(demo)
    print("\nThe demo failed." if demo.failed else "\nThat was the main job.")
    return int(demo.failed)


if __name__ == "__main__":
    raise SystemExit(main())
