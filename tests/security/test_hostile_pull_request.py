"""A pull request of an attacker against `validate`, `diff`, `render` and `review`.

It names programs wherever a tool looks for them, and leads out of the checkout by links. No program
of it may run, and no secret from outside of the desired files may be shown.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.cli.main import run_reconcile_cli
from reconcile.core.render.filters import toyaml
from tests.adapters.sources.repositories import embed_bare_repository
from tests.ci.repositories import ENVIRON, git
from tests.session_files import defaults_text, policy_text, session_text

ROOT = Path(__file__).parents[2]
SECRET = "canary-secret-4711"
TOKEN = "ghs_canary_token_0815"
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  x: "


class PullRequest:
    """A checkout with an honest base, and secrets and a canary outside of it."""

    def __init__(self, folder: Path) -> None:
        self.outside = folder
        self.top = folder / "job"
        self.canary = folder / "canary"
        self.secrets = folder / "secret.yaml"
        self.secrets.write_text(f"{session_text('hidden')}\n# {SECRET}\n{SECRET}: x\n")
        (folder / "private").mkdir()
        (folder / "private/one.yaml").write_text(session_text("one", f"initialPrompt: {SECRET}"))
        self.top.mkdir()
        git(self.top, "init", "-q")
        git(self.top, "config", "http.extraheader", f"AUTHORIZATION: basic {SECRET}")
        self.write("desired/policy.yaml", policy_text())
        self.write("desired/defaults.yaml", defaults_text())
        self.write("desired/team-a/one.yaml", session_text("one"))
        self.write("templates/note.yaml.j2", f"{TEMPLATE}y\n")
        self.base = self.commit()

    @property
    def program(self) -> str:
        """A shell command that leaves the canary."""
        return f"touch {self.canary}"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def link(self, path: str, target: str | Path) -> None:
        place = self.top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            place.rename(self.top / "old")
        place.unlink(missing_ok=True)
        place.symlink_to(target)

    def commit(self) -> str:
        git(self.top, "add", "--all", "--force", ".")
        git(self.top, "commit", "-q", "-m", "change")
        return git(self.top, "rev-parse", "HEAD")


def add_embedded_repository(change):
    """The folder of session files is a bare git repository too, whose config has programs."""
    config = (
        f'[core]\n\tfsmonitor = "{change.program}"\n'
        f'[filter "x"]\n\tclean = "{change.program}; cat"\n'
    )
    embed_bare_repository(change.top / "desired", change.top, config)
    (change.top / "desired/trigger.yaml").unlink()


def add_programs(change):
    """Programs and modules under names that are looked up in the working directory."""
    script = f"#!/bin/sh\n{change.program}\n"
    for name in ("git", "sh", "hooks/post-index-change", ".githooks/pre-commit"):
        change.write(name, script, 0o755)
    module = f"import os\nos.system({change.program!r})\n"
    for name in ("sitecustomize.py", "reconcile/__init__.py", "reconcile/__main__.py", "jinja2.py"):
        change.write(name, module)
    change.write(
        ".gitmodules", f'[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c {change.program}"\n'
    )
    change.write(".gitattributes", "* filter=x diff=x merge=x\n")
    change.write(".lfsconfig", f'[lfs]\n\turl = "ext::{change.program}"\n')


def add_git_file(change):
    """A folder that claims to be a work tree of a repository with programs in its config."""
    embed_bare_repository(
        change.top / "evil", change.top, f'[core]\n\tfsmonitor = "{change.program}"\n'
    )
    (change.top / "evil/trigger.yaml").unlink()
    (change.top / "desired/team-a/.git").write_text(f"gitdir: {change.top / 'evil'}\n")


def add_templates_that_print(change):
    """Templates that try to read files and to run programs."""
    for number, text in enumerate(
        (
            "{% include '../../secret.yaml' %}",
            f"{{% include '{change.secrets}' %}}",
            "{% include ['../.git/config', '.git/config'] ignore missing %}",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            f"{{{{ cycler.__init__.__globals__.os.system('{change.program}') }}}}",
            "{{ session.__init__.__globals__ }}",
        )
    ):
        change.write(f"templates/t{number}.yaml.j2", f"{TEMPLATE}{{% raw %}}{{% endraw %}}{text}\n")


def add_yaml_tags(change):
    change.write(
        "desired/team-a/tag.yaml", f"!!python/object/apply:os.system ['{change.program}']\n"
    )


LINKS = {
    "a template to the config of git": ("templates/a.yaml.j2", "../.git/config"),
    "a template to the outside": ("templates/a.yaml.j2", "../../secret.yaml"),
    "a partial to the outside": ("templates/_a.j2", "../../secret.yaml"),
    "a template to a device": ("templates/a.yaml.j2", "/dev/zero"),
    "a session file to the outside": ("desired/team-a/one.yaml", "../../../secret.yaml"),
    "a session file to the config of git": ("desired/team-a/two.yaml", "../../.git/config"),
    "a session file to an endless device": ("desired/team-a/two.yaml", "/dev/zero"),
    "a session file to a terminal": ("desired/team-a/two.yaml", "/dev/stdin"),
    "the policy to the outside": ("desired/policy.yaml", "../../secret.yaml"),
    "the defaults to the outside": ("desired/defaults.yaml", "../../secret.yaml"),
    "project settings to the outside": ("desired/team-a/project.yaml", "../../../secret.yaml"),
    "a namespace to the outside": ("desired/team-b", "../../private"),
    "the folder of session files to the outside": ("desired", "../private"),
    "the folder of templates to the outside": ("templates", "../private"),
    "the folder of session files to the repository": ("desired", "."),
    "the folder of templates to the repository": ("templates", ".git"),
}

ATTACKS = [
    add_embedded_repository,
    add_programs,
    add_git_file,
    add_templates_that_print,
    add_yaml_tags,
]


@pytest.fixture
def change(tmp_path, monkeypatch):
    made = PullRequest(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GIT_", "GITHUB_", "CI"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(made.top)
    return made


def check_commands(change, capfd):
    """Run the commands that a job or an author runs on the files, and look at what they leave."""
    for command in (
        ["validate", "desired", "--templates=templates"],
        ["diff", "desired", "--templates=templates", f"--against={change.base}"],
        ["render", "desired", "--templates=templates"],
    ):
        run_reconcile_cli(command)
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err
    assert "hidden" not in shown.out
    assert not change.canary.exists()
    return shown


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_program_of_the_change_runs(change, attack, capfd):
    attack(change)
    try:
        change.commit()
    except subprocess.CalledProcessError:
        assert attack is add_git_file  # git itself refuses to commit `.git`
    check_commands(change, capfd)


@pytest.mark.parametrize("name", LINKS)
def test_no_link_of_the_change_is_followed(change, name, capfd):
    change.link(*LINKS[name])
    change.commit()
    shown = check_commands(change, capfd)
    assert "is a link in a git work tree, which is not followed" in shown.err


def test_a_hostile_old_side_is_not_followed_either(change, capfd):
    """A diff reads the base as well, which may be another commit of the same author."""
    for name in ("a template to the config of git", "a session file to the outside"):
        change.link(*LINKS[name])
    change.base = change.commit()
    change.link("templates/a.yaml.j2", "nowhere")
    (change.top / "templates/a.yaml.j2").unlink()
    change.write("desired/team-a/one.yaml", session_text("one"))
    change.commit()
    check_commands(change, capfd)


def test_the_state_of_an_embedded_cluster_is_not_written_through_a_link(change, capfd):
    change.link("cluster.json", change.outside / "state")
    change.commit()
    assert run_reconcile_cli(["apply", "desired", "--cluster=embedded:cluster.json"]) == 4
    assert "is a link in a git work tree" in capfd.readouterr().err
    assert not (change.outside / "state").exists()


# The review of a CI job


class Job:
    """A job on GitHub, for the change of a branch of the same repository."""

    def __init__(self, change: PullRequest) -> None:
        self.change = change
        self.files = change.outside / "runner"
        self.files.mkdir()

    def review(self, *options: str) -> str:
        """Run a review; return all that it shows and leaves."""
        pull = {
            "number": 1,
            "base": {"sha": self.change.base, "repo": {"id": 1}},
            "head": {"sha": "x", "repo": {"id": 1}},
        }
        event = self.files / "event.json"
        event.write_text(json.dumps({"pull_request": pull}))
        environ = {
            **ENVIRON,
            "PATH": f".:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.change.outside),
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_STEP_SUMMARY": str(self.files / "summary"),
            "GITHUB_OUTPUT": str(self.files / "output"),
            "RECONCILE_TOKEN": TOKEN,
            "GITHUB_TOKEN": TOKEN,
        }
        command = [sys.executable, "-P", "-m", "reconcile", "review", "--comment=false", *options]
        done = subprocess.run(
            [*command, "--templates=templates", "--", "desired"],
            cwd=self.change.top,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        left = [path.read_text() for path in self.files.iterdir() if path != event]
        return "".join((done.stdout, done.stderr, *left))


@pytest.fixture
def job(change):
    return Job(change)


def test_a_review_of_all_attacks_at_once(change, job):
    report = change.outside / "report"
    report.write_text("old")
    for attack in (add_embedded_repository, add_programs, add_templates_that_print, add_yaml_tags):
        attack(change)
    for name in ("a session file to the config of git", "a namespace to the outside"):
        change.link(*LINKS[name])
    change.link("report.md", report)
    change.commit()
    shown = job.review("--report=report.md")
    assert "report.md is a link in the checkout" in shown
    assert not change.canary.exists()
    assert SECRET not in shown
    assert TOKEN not in shown
    assert report.read_text() == "old"


def kubeconfig(plugin: str) -> str:
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", plugin],
            "interactiveMode": "Never",
        }
    }
    return toyaml(
        {
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "x", "user": user}],
        }
    )


def test_a_kubeconfig_of_the_change_is_not_used(change, job):
    change.write("kubeconfig", kubeconfig(change.program))
    change.commit()
    assert "is in the checkout" in job.review("--live=true", "--kubeconfig=kubeconfig")
    assert not change.canary.exists()


def test_a_plugin_of_the_job_does_not_find_the_token(change, job):
    """Neither in its own environment nor in those of the processes that started it."""
    trusted = change.outside / "kubeconfig"
    found = change.outside / "found"
    read = "for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; done 2> /dev/null; env"
    trusted.write_text(kubeconfig(f"({read}) > {found}; exit 1"))
    job.review("--live=true", f"--kubeconfig={trusted}")
    assert "GITHUB_EVENT_NAME=" in found.read_text(errors="replace")
    assert TOKEN not in found.read_text(errors="replace")
