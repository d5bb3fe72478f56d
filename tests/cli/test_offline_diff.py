"""`diff --against REV`: what a commit changes, without a cluster, credentials or a network."""

import socket
import subprocess
import sys

import pytest
from pytest_socket import SocketBlockedError

from reconcile.cli import diff as diff_command
from tests.adapters.sources.repositories import Repository
from tests.cli.trees import Tree
from tests.session_files import defaults_text, policy_text, session_text

TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ session.name }}-x"}
data: {text: "%s"}
"""


class History(Tree):
    """A tree in a repository, in which every state can be committed."""

    def __init__(self, folder, capsys):
        self.repository = Repository(folder / "repository")
        folder = self.repository.top
        self.root = self.repository.desired
        self.state = folder.parent / "cluster.json"
        self._capsys = capsys
        self.write("policy.yaml", policy_text())
        self.write("defaults.yaml", defaults_text())

    def commit(self):
        self.repository.commit()
        return self

    def against(self, revision="HEAD~1", *arguments):
        return self.run("diff", str(self.root), "--against", revision, *arguments)


@pytest.fixture
def history(tmp_path, capsys, monkeypatch):
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return History(tmp_path, capsys).add("one").add("two").commit()


@pytest.fixture
def reported(monkeypatch):
    """The reports that were printed."""
    reports = []
    shown = diff_command.show_plan

    def show(report, terminal):
        reports.append(report)
        shown(report, terminal)

    monkeypatch.setattr(diff_command, "show_plan", show)
    return reports


def test_a_commit_is_compared_with_the_one_before(history, reported):
    history.add("one", "displayName: One").add("three").commit()
    ended = history.against()
    assert ended.code == 1
    assert "session-three" in ended.out
    assert "session-one" in ended.out
    assert "team-a/two" not in ended.out
    (report,) = reported
    assert report.digest.startswith("sha256:")
    assert report.plan.revision == history.repository.git("rev-parse", "HEAD")
    assert report.baseline.name == "HEAD~1"
    assert report.baseline.revision == history.repository.git("rev-parse", "HEAD~1")
    assert report.folder == "desired"


def test_the_work_tree_is_compared_and_marked_as_dirty(history):
    history.add("three")
    ended = history.against("HEAD", "-o", "json")
    assert ended.code == 1
    assert ended.json["revision"] == history.repository.git("rev-parse", "HEAD") + "-dirty"
    assert [session["name"] for session in ended.json["sessions"]] == ["three"]


def test_no_change_is_no_change(history):
    ended = history.against("HEAD", "-v")
    assert ended.code == 0
    assert "0 to create" in ended.out


@pytest.mark.disable_socket
def test_no_kubeconfig_and_no_network_are_needed(history, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/does/not/exist")
    with pytest.warns(UserWarning, match="socket"), pytest.raises(SocketBlockedError):
        socket.socket()
    assert history.drop("one").commit().against().code == 1


def test_the_library_for_clusters_is_not_even_loaded(history):
    program = (
        "import sys; from reconcile.cli.main import run_reconcile_cli; "
        "code = run_reconcile_cli(sys.argv[1:]); "
        "found = {'pykube', 'requests', 'minio'} & sys.modules.keys(); sys.exit(f'{code} {found}')"
    )
    command = [sys.executable, "-c", program, "diff", str(history.root), "--against", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("0 set()")


@pytest.mark.parametrize(
    "options",
    [["--cluster", "embedded:x"], ["--kubeconfig", "x"], ["--context", "x"]],
)
def test_a_cluster_with_against_is_a_wrong_command_line(history, options):
    ended = history.against("HEAD", *options)
    assert ended.code == 2
    assert "--against cannot be used with" in ended.err


@pytest.mark.parametrize("revision", ["nope", "", "-x", "--output=x"])
def test_an_unknown_revision_is_reported(history, revision):
    ended = history.run("diff", str(history.root), f"--against={revision}")
    assert ended.code == 4
    assert "is not a commit here" in ended.err
    assert ended.out == ""


def test_a_folder_outside_git_cannot_be_compared(tmp_path, capsys):
    ended = Tree(tmp_path, capsys).run("diff", str(tmp_path / "desired"), "--against", "HEAD")
    assert ended.code == 4
    assert "run this in a clone" in ended.err


def test_a_missing_folder_is_reported(history):
    assert history.run("diff", str(history.root / "no"), "--against", "HEAD").code == 4


def test_a_folder_that_did_not_exist_is_all_new(history):
    history.repository.git("mv", "desired", "sessions")
    history.root = history.repository.top / "sessions"
    ended = history.commit().against("HEAD~1", "-o", "json")
    assert ended.code == 1
    assert ended.json["summary"]["create"] == 12
    assert ended.json["summary"]["delete"] == 0


def test_an_invalid_old_policy_is_reported_with_its_revision(history):
    history.write("policy.yaml", "kind: no\n").commit().write("policy.yaml", policy_text())
    ended = history.commit().against()
    assert ended.code == 3
    assert "HEAD~1:policy.yaml:1:" in ended.err
    assert "name another one" in ended.err


def test_an_invalid_policy_is_reported(history):
    ended = history.write("policy.yaml", "kind: no\n").commit().against()
    assert ended.code == 3
    assert ended.err.startswith("policy.yaml:1:")


def test_a_broken_file_is_an_error_and_not_a_change(history):
    ended = history.write("team-a/one.yaml", "kind: [").commit().against()
    assert ended.code == 3
    assert "team-a/one.yaml" in ended.err


def test_a_file_that_was_broken_counts_as_new_with_a_warning(history):
    history.write("team-a/one.yaml", session_text("one", "typo: 1")).commit().add("one")
    ended = history.commit().against()
    assert ended.code == 1
    assert "could not be used at HEAD~1" in ended.err


def test_templates_of_the_repository_are_those_of_the_revision(history):
    folder = history.repository.top / "templates"
    folder.mkdir()
    (folder / "x.yaml.j2").write_text(TEMPLATE % "old")
    history.commit()
    (folder / "x.yaml.j2").write_text(TEMPLATE % "new")
    ended = history.against("HEAD", "--templates", str(folder), "-o", "json")
    (one, two) = ended.json["sessions"]
    for session in (one, two):
        (change,) = session["changes"]
        assert [field["after"] for field in change["fields"]] == ["new"]
    before = history.against("HEAD~1", "--templates", str(folder), "-o", "json")
    assert before.json["summary"]["create"] == 2


def test_templates_from_elsewhere_are_the_same_on_both_sides(history, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "x.yaml.j2").write_text(TEMPLATE % "any")
    assert history.against("HEAD", "--templates", str(folder)).code == 0
    other = Repository(tmp_path / "other")
    (other.desired / "x.yaml.j2").write_text(TEMPLATE % "any")
    assert history.against("HEAD", "--templates", str(other.desired)).code == 0


def test_missing_templates_are_reported(history):
    ended = history.against("HEAD", "--templates", str(history.root / "no"))
    assert ended.code == 4
    assert "templates cannot be read" in ended.err


def test_secrets_are_masked_by_the_patterns_of_both_policies(history):
    history.write("policy.yaml", policy_text("mask: ['*_PIN']"))
    history.add("one", "environmentVariables: {MY_PIN: swordfish}").commit()
    history.add("one", "environmentVariables: {MY_PIN: flatfish}").commit()
    history.write("policy.yaml", policy_text())
    ended = history.against()
    assert "MY_PIN" in ended.out
    assert "fish" not in ended.out + ended.err


def test_the_digest_is_that_of_the_plan_for_the_cluster(history, reported):
    assert history.go("apply").code == 0
    history.add("one", "displayName: One").add("three").drop("two").commit()
    history.against()
    history.go("diff")
    offline, online = reported
    assert offline.digest == online.digest


def test_what_the_other_branch_got_is_not_deleted_by_this_one(history):
    git = history.repository.git
    git("branch", "-M", "main")
    git("checkout", "-q", "-b", "branch")
    history.add("mine").commit()
    git("checkout", "-q", "main")
    history.add("theirs").commit()
    git("checkout", "-q", "branch")
    since = history.against("main...HEAD", "-o", "names")
    assert since.code == 1
    assert "mine" in since.out
    assert "theirs" not in since.out
    assert "has commits" not in since.err
    exact = history.against("main", "-o", "names")
    assert "theirs" in exact.out
    assert "use `--against main...HEAD` for what this branch changes" in exact.err
