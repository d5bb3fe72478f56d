"""`import` on the command line, from directories and from the platform's layout."""

import hashlib
import json
import socket

import pytest

from reconcile.mirror.exit_codes import MirrorExitCode
from tests.mirror.import_export.conftest import git
from tests.mirror.mirror_pod import MirrorPod, listing


def _objects(cli, objects, prefix="old/session/"):
    store = cli.store(prefix)
    for key, body in objects.items():
        store.put(key, [body], hashlib.sha256(body).hexdigest())


def _restored(cli, tmp_path):
    assert cli.run("restore", tmp_path / "restored") == MirrorExitCode.OK
    return tmp_path / "restored"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "volume"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "a" / "file").write_bytes(b"x" * 5000)
    (root / "a" / "file").chmod(0o751)
    (root / "link").symlink_to("a/file")
    (root / "twin").hardlink_to(root / "a" / "file")
    (root / "odd\nname%").touch()
    return root


def test_a_directory_becomes_generation_one(cli, folder, tmp_path):
    assert cli.run("import", f"--from-directory={folder}") == MirrorExitCode.OK
    assert "generation 1" in cli.output
    assert listing(_restored(cli, tmp_path)) == listing(folder)
    pod = MirrorPod(tmp_path, "next", cli.store())
    assert pod.hydrate().generation.number == 1
    assert listing(pod.root) == listing(folder)


def test_an_existing_session_is_not_changed_without_replace(cli, folder, tmp_path):
    pod = MirrorPod(tmp_path, "pod", cli.store())
    pod.hydrate()
    assert cli.run("import", f"--from-directory={folder}") == MirrorExitCode.SETTINGS
    assert "pod" in cli.errors
    assert "--replace" in cli.errors
    pod.write("mine")
    pod.sync()
    assert cli.run("import", f"--from-directory={folder}", "--replace") == MirrorExitCode.OK
    assert "generation 2" in cli.output
    assert listing(_restored(cli, tmp_path)) == listing(folder)
    assert cli.run("ls", "--at=1") == MirrorExitCode.OK
    assert "mine" in cli.output


def test_an_import_that_only_claimed_can_be_repeated(cli, folder, tmp_path):
    assert cli.run("import", f"--from-directory={tmp_path / 'none'}") == MirrorExitCode.WORKSPACE
    (tmp_path / "nothing").mkdir()
    assert cli.run("import", f"--from-directory={tmp_path / 'nothing'}") == MirrorExitCode.WORKSPACE
    assert cli.run("import", f"--from-directory={folder}") == MirrorExitCode.OK


def test_excluded_and_special_files_are_counted(cli, folder):
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x").touch()
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(folder / "s"))
        assert (
            cli.run("import", f"--from-directory={folder}", "--exclude=odd*") == MirrorExitCode.OK
        )
    assert "left out: " in cli.output
    cli.run("ls")
    assert "odd" not in cli.output
    assert "__pycache__" not in cli.output


@pytest.mark.parametrize(
    "options", [[], ["--from-directory=x", "--from-prefix=a/b"], ["--from-prefix=../x"]]
)
def test_one_source_must_be_given(cli, options):
    assert cli.run("import", *options) == MirrorExitCode.SETTINGS


def test_the_platforms_layout_becomes_a_workspace(cli, state, repository, tmp_path):
    files = {
        ".claude/history.jsonl": b"{}\n",
        "artifacts/r/report.md": b"# r",
        "file-uploads/u": b"",
    }
    _objects(cli, files | {f"repo-state/work/{name}": body for name, body in state.items()})
    assert cli.run("import", "--from-prefix=old/session") == MirrorExitCode.OK
    root = _restored(cli, tmp_path)
    for path, body in files.items():
        assert (root / path).read_bytes() == body
    work = root / "repos" / "work"
    assert git(work, "status", "--porcelain") == git(repository, "status", "--porcelain")
    assert git(work, "diff") == git(repository, "diff")
    assert git(work, "diff", "--cached") == state["staged.patch"]
    assert git(work, "rev-parse", "HEAD", "other", "main") == git(
        repository, "rev-parse", "HEAD", "other", "main"
    )
    assert git(work, "symbolic-ref", "HEAD") == b"refs/heads/work\n"
    assert git(work, "remote", "get-url", "origin") == b"https://example.com/a/work.git\n"
    assert b"imported" in git(work, "stash", "list")
    git(work, "fsck", "--strict")
    assert not (root / "repo-state").exists()


def _conflict(state):
    state["uncommitted.patch"] = state["uncommitted.patch"].replace(b" staged\n", b" never was\n")


def _binary(state):
    state["uncommitted.patch"] += (
        b"diff --git a/pic.png b/pic.png\nindex 0000001..0000002 100644\n"
        b"Binary files a/pic.png and b/pic.png differ\n"
    )


def _escape(state):
    state["uncommitted.patch"] += (
        b"diff --git a/../../evil b/../../evil\nnew file mode 100644\n--- /dev/null\n"
        b"+++ b/../../evil\n@@ -0,0 +1 @@\n+evil\n"
    )


def _no_metadata(state):
    del state["metadata.json"]


def _bad_metadata(state):
    state["metadata.json"] = b"[]"


def _hostile_metadata(state):
    metadata = json.loads(state["metadata.json"])
    metadata |= {"remoteUrl": "ext::sh -c evil", "currentBranch": "--upload-pack=evil"}
    state["metadata.json"] = json.dumps(metadata).encode()


def _unknown_file(state):
    state["notes.txt"] = b"?"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_conflict, "1 parts of uncommitted.patch"),
        (_binary, "binary files are not in it"),
        (_escape, "1 parts of uncommitted.patch"),
        (_no_metadata, "no metadata.json"),
        (_bad_metadata, "metadata.json cannot be read"),
        (_hostile_metadata, "is invalid"),
        (_unknown_file, "notes.txt"),
    ],
)
def test_patches_that_do_not_apply_are_kept_as_files_and_reported(
    cli, state, tmp_path, change, message
):
    change(state)
    _objects(cli, {f"repo-state/work/{name}": body for name, body in state.items()})
    assert cli.run("import", "--from-prefix=old/session") == MirrorExitCode.INCOMPLETE
    assert message in cli.output
    assert "secret" not in cli.output
    root = _restored(cli, tmp_path)
    kept = root / "repo-state" / "work"
    for name, body in state.items():
        assert (kept / name).read_bytes() == body
    assert (root / "repos" / "work" / "added").read_text() == "added\n"
    assert not (root / "evil").exists()
    if "parts of" in message:
        assert (kept / "uncommitted.patch.rejected.patch").read_bytes() in state[
            "uncommitted.patch"
        ]


def test_an_invalid_bundle_stays_a_file(cli, tmp_path):
    _objects(cli, {"repo-state/work/work.bundle": b"no bundle", "repo-state/work/x": b""})
    assert cli.run("import", "--from-prefix=old/session") == MirrorExitCode.INCOMPLETE
    assert "its bundle cannot be restored" in cli.output
    root = _restored(cli, tmp_path)
    assert (root / "repo-state" / "work" / "work.bundle").read_bytes() == b"no bundle"
    assert not (root / "repos" / "work").exists()


def test_an_existing_repository_is_not_overwritten(cli, state, tmp_path):
    objects = {f"repo-state/work/{name}": body for name, body in state.items()}
    _objects(cli, objects | {"repos/work/mine": b"mine"})
    assert cli.run("import", "--from-prefix=old/session") == MirrorExitCode.INCOMPLETE
    root = _restored(cli, tmp_path)
    assert (root / "repos" / "work" / "mine").read_bytes() == b"mine"
    assert (root / "repo-state" / "work" / "work.bundle").exists()


def test_an_empty_prefix_claims_nothing(cli):
    assert cli.run("import", "--from-prefix=old/session") == MirrorExitCode.SETTINGS
    assert list(cli.store().list("")) == []
