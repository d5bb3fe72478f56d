"""Git in one named repository, without hooks and without programs of the repository's config."""

import os
import subprocess

import pytest

from reconcile.runtime.git import GitRepository, RemoteGit, find_tracked_link, find_work_tree

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C"}


@pytest.fixture
def folder(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=ENVIRON)
    return tmp_path


def test_a_command_returns_its_output(folder):
    result = GitRepository(folder, folder, ENVIRON).run("hash-object", "--stdin", stdin=b"a")
    assert (result.ok, result.text) == (True, "2e65efe2a145dda7ee51d1741299f848e5bf752e")


def test_a_failed_command_returns_its_last_line(folder):
    result = GitRepository(folder, folder, ENVIRON).run("cat-file", "-t", "absent")
    assert not result.ok
    assert result.reason == "fatal: Not a valid object name absent"


def test_a_failure_without_a_message_returns_the_exit_code(folder):
    result = GitRepository(folder, folder, ENVIRON).run("rev-parse", "-q", "--verify", "HEAD")
    assert result.reason == "git ended with exit code 1"


def test_a_missing_git_is_a_result(folder):
    result = GitRepository(folder, folder, {"PATH": "/nonexistent"}).run("version")
    assert result.code == 127
    assert "git cannot be started: " in result.reason


def test_an_argument_that_no_process_can_get_is_a_result(folder):
    assert GitRepository(folder, folder, ENVIRON).run("cat-file", "-t", "a\0b").code == 127


def test_a_slow_command_is_killed(folder):
    repository = GitRepository(folder, folder, ENVIRON, timeout=0.2)
    result = repository.run("-c", "alias.wait=!sleep 5", "wait")
    assert result.code == 124
    assert result.reason == "git -c took longer than 0.2 s"


def test_only_the_named_repository_is_used(folder):
    inner = folder / "inner"
    inner.mkdir()
    assert not GitRepository(inner, inner, ENVIRON).run("rev-parse", "--git-dir").ok


def test_hooks_do_not_run(folder):
    hook = folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {folder}/ran\n")
    hook.chmod(0o755)
    person = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    repository = GitRepository(folder, folder, ENVIRON)
    assert repository.run(*person, "commit", "-q", "--allow-empty", "-m", "one").ok
    assert not (folder / "ran").exists()


def test_transports_are_refused_by_default(folder):
    list_remote = ("ls-remote", f"file://{folder}")
    assert "not allowed" in GitRepository(folder, folder, ENVIRON).run(*list_remote).reason
    assert GitRepository(folder, folder, ENVIRON, config=()).run(*list_remote).ok


def test_the_work_tree_is_found_from_below(folder):
    (folder / "a/b").mkdir(parents=True)
    assert find_work_tree(folder / "a/b") == folder
    assert find_work_tree(folder.parent) is None


def track(folder, *names):
    subprocess.run(["git", "-C", folder, "add", "--", *names], check=True, env=ENVIRON)


def test_a_tracked_link_is_found_at_the_end_of_a_path_and_on_the_way(folder):
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    (folder / "star*").symlink_to("nowhere")
    track(folder, "link", ":(literal)star*")
    for path in ("link", "link/x", "link/x/y"):
        assert find_tracked_link(folder / path, ENVIRON) == folder / "link"
    assert find_tracked_link(folder / "star*", ENVIRON) == folder / "star*"
    assert find_tracked_link(folder / "real/x", ENVIRON) is None


def test_a_link_that_is_not_tracked_is_not_found(folder, tmp_path_factory):
    (folder / "star").touch()
    track(folder, "star")
    (folder / "star*").symlink_to("star")
    assert find_tracked_link(folder / "star*", ENVIRON) is None
    outside = tmp_path_factory.mktemp("outside")
    (outside / "link").symlink_to(folder)
    assert find_tracked_link(outside / "link", ENVIRON) is None


def test_without_git_every_link_of_a_work_tree_is_found(folder):
    (folder / "link").symlink_to("nowhere")
    assert find_tracked_link(folder / "link", {"PATH": "/nonexistent"}) == folder / "link"


def write_config(path, **settings):
    for name, value in settings.items():
        command = ["git", "config", "--file", path, name.replace("__", "."), value]
        subprocess.run(command, check=True, env=ENVIRON)


FILTERS = ("clean", "process")


@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("place", ["repository", "included file", "home"])
def test_status_runs_no_filter(folder, tmp_path_factory, kind, place):
    """A `.gitattributes` file of a commit chooses among all filters that are configured."""
    (folder / "a").write_text("1")
    (folder / ".gitattributes").write_text("* filter=x=y\n")
    track(folder, "a", ".gitattributes")
    home = tmp_path_factory.mktemp("home")
    paths = {
        "repository": folder / ".git/config",
        "included file": folder / "settings",
        "home": home / ".gitconfig",
    }
    write_config(folder / ".git/config", include__path="../settings")
    canary = home / "ran"
    write_config(paths[place], **{f"filter__x=y__{kind}": f"touch {canary}; cat"})
    write_config(paths[place], **{"filter__x=y__required": "true"})
    (folder / "a").write_text("2")
    repository = GitRepository(folder, folder, {**ENVIRON, "HOME": str(home)})
    result = repository.status("--porcelain", "--untracked-files=no")
    assert result.ok
    assert "a" in result.text
    assert not canary.exists()


def test_a_file_of_the_work_tree_that_is_read_as_configuration_is_found(folder, tmp_path_factory):
    repository = GitRepository(folder, folder, ENVIRON)
    assert repository.find_tracked_config() is None
    write_config(folder / "settings", core__sshCommand="x")
    assert repository.find_tracked_config() is None
    write_config(folder / ".git/config", include__path="../settings")
    assert repository.find_tracked_config() == folder / "settings"
    home = tmp_path_factory.mktemp("home")
    write_config(home / ".gitconfig", core__sshCommand="x")
    at_home = {**ENVIRON, "HOME": str(home)}
    write_config(folder / ".git/config", include__path="more")
    assert GitRepository(folder, folder, at_home).find_tracked_config() is None
    linked = tmp_path_factory.mktemp("linked")
    (linked / ".gitconfig").symlink_to(folder / "settings")
    through_link = GitRepository(folder, folder, {**ENVIRON, "HOME": str(linked)})
    assert through_link.find_tracked_config() == folder / "settings"


def test_replaced_objects_are_not_read(folder):
    repository = GitRepository(folder, folder, ENVIRON)
    first, second = (
        repository.run("hash-object", "-w", "--stdin", stdin=text).text for text in (b"1", b"2")
    )
    assert repository.run("replace", first, second).ok
    assert repository.run("cat-file", "blob", first).text == "1"


def run_remote(folder, *arguments, reason="", **options):
    remote = RemoteGit(folder, **{"protocol": "https", "environ": ENVIRON, **options})
    return remote.run(*arguments, find_reason_to_stop=lambda: reason)


def test_only_the_named_transport_is_used(folder):
    list_remote = ("ls-remote", f"file://{folder}")
    refused = run_remote(folder, *list_remote)
    assert refused.reason == "fatal: transport 'file' not allowed"
    assert run_remote(folder, *list_remote, protocol="file").ok


def test_a_remote_command_is_stopped_with_all_that_it_has_started(folder):
    script = f"!sh -c 'echo $$ > {folder}/pid; sleep 60'"
    started = folder / "pid"
    remote = RemoteGit(folder, "https", ENVIRON, (f"alias.wait={script}",))
    result = remote.run(
        "wait",
        find_reason_to_stop=lambda: "enough" if started.exists() and started.read_text() else "",
    )
    assert (result.code, result.reason) == (125, "enough")
    pid = started.read_text().strip()
    status = subprocess.run(
        ["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False
    )
    assert status.stdout.strip()[:1] in {"", "Z"}


def test_the_error_output_of_a_remote_command_is_bounded(folder):
    script = "!f() { yes remote: | head -c 3000000 >&2; echo fatal: end >&2; false; }; f"
    result = run_remote(folder, "flood", config=(f"alias.flood={script}",))
    assert (result.code, result.reason) == (1, "fatal: end")
    assert len(result.err) <= 16 << 10


def test_a_remote_command_without_git_is_a_result(folder):
    result = run_remote(folder, "version", environ={"PATH": "/nonexistent"})
    assert result.code == 127


def test_a_remote_command_that_closes_its_output_is_waited_for(folder):
    result = run_remote(folder, "quiet", config=("alias.quiet=!exec 2>&-; sleep 0.5; exit 3",))
    assert result.code == 3
