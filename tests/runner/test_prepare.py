"""What `prepare` makes of a workspace: folders, what was restored, the message and exit codes."""

import json
import os
import signal

import pytest

from reconcile.runner import cli, prepare
from reconcile.runtime.process import TerminatedError
from tests.mirror.workspace.unprivileged import NOBODY, as_nobody, open_folder
from tests.runner.git_server import git, make_repository
from tests.runner.preparing import Pod

FOLDERS = (".claude", ".claude/debug", "artifacts", "file-uploads", "repos", "workflows")


@pytest.fixture
def pod(tmp_path):
    folder = tmp_path / "pod"
    folder.mkdir()
    return Pod(folder)


@pytest.fixture
def shop(tmp_path):
    return make_repository(tmp_path / "shop")


def test_the_folders_are_made_for_a_session_without_inputs(pod):
    assert pod.prepare() == 0
    assert all((pod.workspace / each).is_dir() for each in FOLDERS)
    assert pod.message == {}


def test_only_claude_has_a_folder_for_debugging(pod):
    pod.options["state_dir"] = ".gemini"
    assert pod.prepare() == 0
    assert list((pod.workspace / ".gemini").iterdir()) == []
    assert not (pod.workspace / ".claude").exists()


def test_a_state_directory_may_be_below_another_folder(pod):
    pod.options["state_dir"] = ".config/agent"
    (pod.workspace / ".config").symlink_to("/etc")
    assert pod.prepare() == 0
    assert (pod.workspace / ".config/agent").is_dir()
    assert pod.message == {"movedAside": [".config"]}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("kind", ["file", "link", "loop", "absent"])
def test_what_is_no_folder_is_moved_aside(pod, tmp_path, name, kind):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = pod.workspace / name
    path.parent.mkdir(exist_ok=True)
    if kind == "file":
        path.write_text("the agent's")
    else:
        path.symlink_to({"link": elsewhere, "loop": path, "absent": tmp_path / "absent"}[kind])
    assert pod.prepare() == 0
    assert path.is_dir()
    assert not path.is_symlink()
    moved = path.with_name(f"{path.name}.moved-1")
    assert os.path.lexists(moved)
    assert moved.is_symlink() == (kind != "file")
    assert list(elsewhere.iterdir()) == []
    assert pod.message == {"movedAside": [name]}


def test_earlier_things_that_were_moved_aside_stay(pod):
    for text in ("first", "second"):
        (pod.workspace / "artifacts").write_text(text)
        pod.prepare()
        (pod.workspace / "artifacts").rmdir()
    assert (pod.workspace / "artifacts.moved-1").read_text() == "first"
    assert (pod.workspace / "artifacts.moved-2").read_text() == "second"


def test_a_folder_without_rights_gets_them_back():
    with open_folder() as folder:

        def check():
            (folder / "pod").mkdir()
            pod = Pod(folder / "pod")
            for name in (".claude", "repos"):
                (pod.workspace / name).mkdir()
                (pod.workspace / name).chmod(0)
            assert pod.prepare() == 0
            assert (pod.workspace / ".claude/debug").is_dir()

        as_nobody(check, NOBODY)


def test_a_workspace_that_cannot_be_written_is_a_failure_in_words():
    with open_folder() as folder:

        def check():
            (folder / "pod").mkdir()
            pod = Pod(folder / "pod")
            pod.workspace.chmod(0o500)
            assert pod.prepare() == 1
            assert pod.message == {"problem": "the workspace cannot be prepared: Permission denied"}
            pod.workspace.chmod(0o700)

        as_nobody(check, NOBODY)


def test_what_was_restored_is_never_touched(pod, shop):
    restored = pod.workspace / "repos/shop"
    restored.mkdir(parents=True)
    (restored / "work").write_text("uncommitted")
    flow = pod.workspace / "workflows/shop"
    flow.mkdir(parents=True)
    (flow / "changed").write_text("by the agent")
    pod.set_repositories({"url": f"file://{shop}", "name": "shop"})
    pod.set_workflow(f"file://{shop}")
    assert pod.prepare() == 0
    assert [each.name for each in restored.iterdir()] == ["work"]
    assert [each.name for each in flow.iterdir()] == ["changed"]
    assert pod.message == {
        "repositories": [{"name": "shop", "state": "restored"}],
        "workflow": {"name": "shop", "state": "restored"},
    }


def test_a_second_run_changes_nothing(pod, shop):
    pod.set_repositories({"url": f"file://{shop}", "name": "shop"})
    pod.prepare()
    before = {each: each.lstat().st_mtime_ns for each in pod.workspace.rglob("*")}
    pod.prepare()
    assert {each: each.lstat().st_mtime_ns for each in pod.workspace.rglob("*")} == before


def test_an_empty_folder_is_cloned_into(pod, shop):
    (pod.workspace / "repos/shop").mkdir(parents=True)
    pod.set_repositories({"url": f"file://{shop}", "name": "shop"})
    assert pod.prepare() == 0
    assert git(pod.workspace / "repos/shop", "status", "--porcelain") == ""


def test_a_link_in_the_place_of_a_repository_is_moved_aside(pod, shop, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (pod.workspace / "repos").mkdir()
    (pod.workspace / "repos/shop").symlink_to(elsewhere)
    pod.set_repositories({"url": f"file://{shop}", "name": "shop"})
    assert pod.prepare() == 0
    assert list(elsewhere.iterdir()) == []
    assert (pod.workspace / "repos/shop/README").exists()
    assert pod.message["movedAside"] == ["repos/shop"]


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_leftovers_of_clones_are_removed(pod, tmp_path, kind):
    leftover = pod.workspace / ".reconcile-runner-cloning"
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    if kind == "folder":
        (leftover / "clone-1/clone/.git").mkdir(parents=True)
        (leftover / "clone-1/link").symlink_to(elsewhere)
    elif kind == "link":
        leftover.symlink_to(elsewhere)
    else:
        leftover.write_text("x")
    assert pod.prepare() == 0
    assert not os.path.lexists(leftover)
    assert (elsewhere / "kept").exists()


def test_an_id_without_a_conversation_is_named(pod):
    (pod.workspace / ".claude").mkdir()
    ids = pod.workspace / ".claude/claude_session_ids.json"
    ids.write_text('{"s": "7f0c"}')
    assert pod.prepare() == 0
    assert pod.message == {"removedConversations": ["7f0c"]}
    assert ids.read_text() == "{}"


def set_prompts(pod, *runs):
    folder = pod.workspace / ".session"
    folder.mkdir()
    prompts = [{"digest": "d", "podUid": "u", "run": run} for run in runs]
    (folder / "prompt.json").write_text(json.dumps({"version": 1, "prompts": prompts}))
    return folder / "prompt.json"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (["open"], {"interruptedRun": True}),
        (["finished", "open"], {"interruptedRun": True}),
        (["open", "finished"], {}),
        (["interrupted"], {"interruptedRun": True}),
        (["interrupted", "failed"], {}),
        ([], {}),
    ],
)
def test_a_run_that_was_cut_off_is_reported(pod, runs, expected):
    path = set_prompts(pod, *runs)
    before = path.read_bytes()
    assert pod.prepare() == 0
    assert pod.message == expected
    assert path.read_bytes() == before


def test_a_session_folder_that_is_a_link_is_moved_aside_and_not_read(pod, tmp_path):
    path = set_prompts(pod, "open")
    path.parent.rename(tmp_path / "elsewhere")
    (pod.workspace / ".session").symlink_to(tmp_path / "elsewhere")
    assert pod.prepare() == 0
    assert pod.message == {"movedAside": [".session"]}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"prompts": 1}', '{"prompts": [1]}', "null"])
def test_a_file_of_prompts_that_the_agent_has_changed_is_no_failure(pod, text):
    set_prompts(pod).write_text(text)
    assert pod.prepare() == 0
    assert pod.message == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "REPOS_JSON is not JSON"),
        ('[{"url": "https://h/x", "name": "../x"}]', "'../x'"),
        ("[1]", "REPOS_JSON[0] has no `url`"),
    ],
)
def test_bad_inputs_are_a_failure_in_words(pod, text, reason):
    (pod.inputs / "REPOS_JSON").write_text(text)
    assert pod.prepare() == 1
    assert reason in pod.message["problem"]
    assert all((pod.workspace / each).is_dir() for each in FOLDERS)


def test_two_repositories_with_one_name_are_a_failure(pod, shop):
    one = {"url": f"file://{shop}", "name": "shop"}
    pod.set_repositories(one, one)
    assert pod.prepare() == 1
    assert pod.message["repositories"] == [
        {"name": "shop", "state": "failed", "reason": "another repository has this name"},
        {"name": "shop", "state": "ready"},
    ]


def test_the_message_has_all_failures_that_fit(pod):
    pod.set_repositories(*({"url": "/x", "name": f"r{number}"} for number in range(200)))
    assert pod.prepare() == 1
    message = pod.message
    assert message["truncated"]
    assert {each["state"] for each in message["repositories"]} == {"failed"}
    assert len(message["repositories"]) > 8


class TestTheProgram:
    @pytest.fixture(autouse=True)
    def _sigterm(self):
        handler = signal.getsignal(signal.SIGTERM)
        yield
        signal.signal(signal.SIGTERM, handler)

    def test_a_failure_ends_it_with_1(self, pod):
        pod.set_repositories({"url": "/x", "name": "x"})
        code, output = pod.run()
        assert code == 1
        line = json.loads(output)
        assert (line["event"], line["path"], line["state"]) == ("repository", "repos/x", "failed")

    def test_a_failure_can_be_accepted(self, pod):
        pod.set_repositories({"url": "/x", "name": "x"})
        code, _ = pod.run(RECONCILE_RUNNER_ON_FAILURE="Continue")
        assert code == 0
        assert pod.find_repository("x")["state"] == "failed"

    def test_all_settings_come_from_variables(self, pod, shop):
        pod.set_repositories({"url": f"file://{shop}", "name": "shop"})
        variables = {
            "STATE_DIR": ".gemini",
            "CREDENTIAL_SOURCES": '[{"provider": "github", "secretName": "git"}]',
            "ALLOWED_HOSTS": "github.com\n*.example.com",
            "CLONE_SECONDS": "60",
            "MAX_BYTES": "1.5Gi",
            "CA_FILE": "/nonexistent",
            "ALLOW_FILE_URLS": "true",
        }
        named = {f"RECONCILE_RUNNER_{name}": value for name, value in variables.items()}
        assert pod.run(**named)[0] == 0
        assert pod.find_repository("shop")["state"] == "ready"
        assert (pod.workspace / ".gemini").is_dir()

    @pytest.mark.parametrize(
        ("option", "text"),
        [
            ("--max-bytes=10 apples", "'10 apples' is not a number of bytes, such as 10Gi."),
            ("--state-dir=../x", "'../x' is not a folder inside of the workspace."),
            ("--state-dir=/x", "is not a folder inside of the workspace."),
            ("--credential-sources={}", "it is not a list of credentials"),
            ("--credential-sources=[{}]", "it is not a list of credentials"),
            ("--clone-seconds=nan", "nan"),
            ("--absent", "No such option"),
        ],
    )
    def test_a_wrong_option_ends_it_with_2(self, pod, option, text):
        code, output = pod.run(option)
        assert (code, "Traceback" in output) == (2, False)
        assert text in output

    def test_what_ends_it_becomes_an_exit_code(self, monkeypatch):
        def end(error):
            def run(_options):
                raise error

            monkeypatch.setattr(prepare, "run_prepare", run)
            return cli.run_runner_cli(["prepare"])

        assert end(TerminatedError()) == 143
        assert end(KeyboardInterrupt()) == 130
        assert end(SystemExit(5)) == 5

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("0", 0),
            ("1024", 1024),
            ("10Gi", 10 << 30),
            ("1.5Ki", 1536),
            ("2k", 2000),
            ("3M", 3_000_000),
            ("1e3", 1000),
        ],
    )
    def test_the_size_is_a_quantity(self, monkeypatch, text, expected):
        given = []
        monkeypatch.setattr(prepare, "run_prepare", given.append)
        assert cli.run_runner_cli(["prepare", f"--max-bytes={text}"]) == 0
        assert given[0].max_bytes == expected

    def test_a_defect_shows_no_traceback(self, monkeypatch, capsys):
        def fail(_options):
            raise RuntimeError("canary")

        monkeypatch.setattr(prepare, "run_prepare", fail)
        assert cli.run_runner_cli(["prepare"]) == 70
        shown = capsys.readouterr().err
        assert "this is a defect of reconcile-runner" in shown
        assert "canary" not in shown
