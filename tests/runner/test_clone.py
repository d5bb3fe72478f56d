"""Clones from real servers: what arrives, what is refused, what may pass, and what is never run."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.controlplane.waiting import until
from tests.mirror.workspace.unprivileged import as_nobody, open_folder
from tests.runner.git_server import TOKEN, commit, git, make_repository, serving
from tests.runner.preparing import Pod


@pytest.fixture
def pod(tmp_path):
    folder = tmp_path / "pod"
    folder.mkdir()
    return Pod(folder)


@pytest.fixture
def server(tmp_path, pod):
    with serving(tmp_path / "served") as server:
        make_repository(server.folder / "shop", {"a.txt": "one\n", "tool": "two\n"})
        pod.options["ca_file"] = server.ca_file
        yield server


@pytest.fixture
def shop(server):
    return server.folder / "shop"


def prepare_one(pod, url, **more):
    pod.set_repositories({"url": url, "name": "shop", **more})
    pod.prepare()
    return pod.find_repository("shop")


def test_a_repository_is_cloned_with_the_history_of_its_default_branch(pod, server, shop):
    git(shop, "checkout", "-q", "-b", "trunk")
    (shop / "b.txt").write_text("three\n")
    commit(shop)
    assert prepare_one(pod, server.url("public/shop")) == {"name": "shop", "state": "ready"}
    clone = pod.workspace / "repos/shop"
    assert git(clone, "symbolic-ref", "--short", "HEAD") == "trunk"
    assert git(clone, "rev-list", "--count", "HEAD") == "2"
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "for-each-ref", "--format=%(refname)", "refs/remotes") != ""
    assert not (clone / ".git/hooks").exists()
    assert sorted(each.name for each in pod.workspace.iterdir()) == [
        ".claude",
        "artifacts",
        "file-uploads",
        "repos",
        "workflows",
    ]


def test_a_branch_is_checked_out(pod, server, shop):
    git(shop, "branch", "next")
    assert prepare_one(pod, server.url("public/shop"), branch="next")["state"] == "ready"
    assert git(pod.workspace / "repos/shop", "symbolic-ref", "--short", "HEAD") == "next"


@pytest.mark.parametrize("branch", ["absent", "--upload-pack=touch ran", "-q"])
def test_a_branch_that_is_absent_is_named(pod, server, branch):
    done = prepare_one(pod, server.url("public/shop"), branch=branch)
    assert done["reason"] == f"it has no branch `{branch}`"
    assert not (pod.workspace / "repos/shop").exists()


def test_a_repository_without_commits_is_cloned(pod, server):
    git(server.folder, "init", "-q", "empty")
    assert prepare_one(pod, server.url("public/empty"))["state"] == "ready"


def test_a_token_reaches_its_host_and_nothing_that_stays(pod, server, capfd):
    pod.set_credential("github", "127.0.0.1", token=f"{TOKEN}\n")
    assert prepare_one(pod, server.url("private/shop"))["state"] == "ready"
    stored = (pod.workspace / "repos/shop/.git/config").read_text()
    assert f"url = {server.url('private/shop')}\n" in stored
    (kept,) = pod.state.iterdir()
    texts = stored + capfd.readouterr().err + pod.log.read_text() + kept.read_text()
    assert "canary" not in texts


def test_no_process_has_a_token_in_its_command_or_environment(pod, server):
    pod.set_credential("github", "127.0.0.1", token=TOKEN)
    pod.set_repositories({"url": server.url("private-hanging/shop"), "name": "shop"})
    sources = (
        '[{"provider": "github", "secretName": "s", "keys": {"token": "t"}, "host": "127.0.0.1"}]'
    )
    process = pod.start(f"--ca-file={server.ca_file}", f"--credential-sources={sources}")
    try:
        assert server.is_held.wait(60)
        family = [process.pid]
        for pid in family:
            family += find_children(pid)
        shown = b"".join(
            Path(f"/proc/{pid}/{name}").read_bytes()
            for pid in family
            for name in ("cmdline", "environ")
        )
    finally:
        process.terminate()
        process.wait()
    assert b"remote-https" in shown
    assert b"canary" not in shown


def test_a_token_is_sent_to_no_other_host(pod, server):
    pod.set_credential("github", "127.0.0.1", token=TOKEN)
    done = prepare_one(pod, server.url("private/shop", "localhost"))
    assert "no credential is declared for localhost" in done["reason"]
    assert {login for _, _, login in server.requests} == {""}


def test_a_login_in_a_url_is_used_and_not_stored(pod, server, capfd):
    url = server.url("private/shop").replace(
        "://", "://x-access-token:canary-token%2F4711%3A%40%25@"
    )
    assert prepare_one(pod, url)["state"] == "ready"
    stored = (pod.workspace / "repos/shop/.git/config").read_text()
    assert f"url = {server.url('private/shop')}\n" in stored
    assert "canary" not in capfd.readouterr().err + pod.log.read_text()


@pytest.mark.parametrize(
    "url",
    [
        "https://canary-user:canary-pw@127.0.0.1",
        "https://canary-user:canary-pw@127.0.0.1:1/x",
        "https://canary-user:canary-pw@host/x?y",
        "ext::sh -c canary-user:canary-pw@x",
    ],
)
def test_a_login_in_a_url_that_fails_is_not_shown(pod, url, capfd):
    pod.options["clone_seconds"] = 0.5
    pod.set_repositories({"url": url})
    assert pod.prepare() == 1
    assert "canary-pw" not in capfd.readouterr().err + pod.log.read_text()


def test_a_private_repository_says_which_secret_would_be_used(pod, server):
    url = server.url("private/shop")
    assert prepare_one(pod, url)["reason"] == (
        "it is private: no credential is declared for 127.0.0.1: declare `credentials: "
        "[{provider: gitlab, host: 127.0.0.1, secretName: …}]` with a Secret whose key `token` "
        "has it"
    )
    pod.set_credential("github", "127.0.0.1")
    assert prepare_one(pod, url)["reason"] == (
        "it is private: Secret `git-github` has no key `TOKEN`, which would be used"
    )


def test_a_refused_token_names_its_key(pod, server):
    pod.set_credential("github", "127.0.0.1", token=TOKEN)
    done = prepare_one(pod, server.url("refused/shop"))
    assert done["reason"] == (
        "the server refuses key `TOKEN` of Secret `git-github`: it has expired, or may not read "
        "this repository"
    )
    tried = [each for each in server.requests if each[2]]
    assert len(tried) == 1


def test_a_repository_that_does_not_exist_is_not_tried_again(pod, server):
    assert (
        "does not exist, or is private" in prepare_one(pod, server.url("public/absent"))["reason"]
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "status"), [("to-file", 302), ("to-host", 301)])
def test_a_redirect_is_not_followed(pod, server, kind, status):
    assert prepare_one(pod, server.url(f"{kind}/shop"))["reason"] == (
        f"the server answered {status}: the repository has moved, and redirects are not followed: "
        "write its new URL"
    )
    assert {host for host, _, _ in server.requests} == {f"127.0.0.1:{server.port}"}


def test_what_may_pass_is_tried_again(pod, server):
    assert prepare_one(pod, server.url("broken-once/shop"))["state"] == "ready"


def test_an_answer_that_is_cut_off_is_asked_for_again(pod, server):
    assert prepare_one(pod, server.url("cut-once/shop"))["state"] == "ready"
    assert server.has_cut.is_set()


def test_what_does_not_pass_says_how_often_it_was_tried(pod, server):
    pod.options["clone_seconds"] = 2
    reason = prepare_one(pod, server.url("broken/shop"))["reason"]
    assert "The requested URL returned error: 500" in reason
    assert " times)" in reason


def test_a_server_that_does_not_answer_is_given_up(pod, server):
    pod.options["clone_seconds"] = 1
    assert "took longer than 1 s" in prepare_one(pod, server.url("hanging/shop"))["reason"]
    assert not (pod.workspace / ".reconcile-runner-cloning").exists()


def test_an_unknown_certificate_says_what_to_set(pod, server):
    pod.options["ca_file"] = None
    assert "runner.caConfigMapName" in prepare_one(pod, server.url("public/shop"))["reason"]


def test_a_host_that_the_policy_does_not_allow_is_not_asked(pod, server):
    pod.options["allowed_hosts"] = ("github.com", "*.example.com")
    assert prepare_one(pod, server.url("public/shop"))["reason"] == (
        "the policy does not allow repositories of 127.0.0.1: allowed are github.com, *.example.com"
    )
    assert server.requests == []


def test_a_file_url_is_refused_outside_of_tests(pod, shop):
    pod.options["allow_files"] = False
    assert "not one that can be cloned" in prepare_one(pod, f"file://{shop}")["reason"]


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch ran'",
        "/etc",
        "../shop",
        "-oProxyCommand=touch",
        "ssh://-oProxyCommand=touch/x",
        "https://allowed.com\\@evil.com/x",
        "https://a@b@host/x",
        "https://host/x\ny",
        "https://[::1",
        "fd::17",
        "host:-x",
        "",
    ],
)
def test_a_url_that_git_could_understand_in_another_way_is_refused(pod, url):
    pod.set_repositories({"url": url, "name": "shop"})
    assert pod.prepare() == 1
    assert "its URL is not one that can be cloned" in pod.find_repository("shop")["reason"]


def test_a_token_is_not_sent_without_encryption(pod, tmp_path):
    with serving(tmp_path / "plain", "http") as server:
        make_repository(server.folder / "shop")
        pod.set_credential("github", "127.0.0.1", token=TOKEN)
        done = prepare_one(pod, server.url("private/shop"))
        assert "none is sent without encryption: write a URL with https://" in done["reason"]
        assert [login for _, _, login in server.requests] == [""]
        assert prepare_one(pod, server.url("public/shop"))["state"] == "ready"


def test_a_user_id_without_a_name_is_enough():
    with open_folder() as folder, serving(folder / "served") as server:
        make_repository(server.folder / "shop")
        server.ca_file.chmod(0o644)

        def check():
            (folder / "pod").mkdir()
            pod = Pod(folder / "pod", {"ca_file": server.ca_file})
            pod.set_credential("github", "127.0.0.1", token=TOKEN)
            assert prepare_one(pod, server.url("private/shop"))["state"] == "ready"

        as_nobody(check, 12345)


def test_nothing_of_a_repository_is_run(pod, server, tmp_path):
    ran = tmp_path / "ran"
    shop = make_repository(
        server.folder / "hostile",
        {
            ".gitattributes": "*.txt filter=evil diff=evil\n*.bin filter=lfs\n",
            "a.txt": "text\n",
            "a.bin": "version https://git-lfs.github.com/spec/v1\n",
            ".gitmodules": f'[submodule "x"]\n path = x\n url = "ext::sh -c \'touch {ran}\'"\n',
            "hooks/post-checkout": f"#!/bin/sh\ntouch {ran}\n",
            ".gitconfig": f'[filter "evil"]\n smudge = touch {ran}\n',
            "--upload-pack=x": "an option\n",
            "-rf": "an option\n",
            "README": "upper\n",
            "readme": "lower\n",
        },
    )
    head = git(shop, "rev-parse", "HEAD")
    git(shop, "update-index", "--add", "--cacheinfo", f"160000,{head},x")
    git(shop, "commit", "-q", "-m", "submodule")
    (shop / "link").symlink_to("/etc/passwd")
    (shop / "up").symlink_to("../../..")
    git(shop, "add", "link", "up")
    git(shop, "commit", "-q", "-m", "links")
    assert prepare_one(pod, server.url("public/hostile"))["state"] == "ready"
    clone = pod.workspace / "repos/shop"
    assert not ran.exists()
    assert (clone / "link").readlink() == Path("/etc/passwd")
    assert (clone / "-rf").read_text() == "an option\n"
    assert (clone / "README").read_text() == "upper\n"
    assert (clone / "readme").read_text() == "lower\n"
    assert (clone / "a.bin").read_text().startswith("version ")
    assert list((clone / "x").iterdir()) == []
    assert not (clone / ".git/modules").exists()


def test_configuration_of_the_machine_is_not_used(pod, server, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    config = tmp_path / "config"
    config.write_text(
        f'[url "https://127.0.0.1:1/"]\n insteadOf = {server.url("")}\n'
        f"[core]\n sshCommand = touch {ran}\n[init]\n templateDir = {tmp_path}\n"
    )
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, str(config))
    monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert prepare_one(pod, server.url("public/shop"))["state"] == "ready"


def test_a_clone_that_does_not_fit_ends(pod, server):
    make_repository(server.folder / "large", {"a": os.urandom(1 << 20).hex()})
    pod.options["max_bytes"] = 1 << 20
    done = prepare_one(pod, server.url("public/large"))
    assert done["reason"] == (
        "it needs more than the 0.0 GiB that the workspace has left: raise `storage.size`, or "
        "clone less"
    )
    assert not (pod.workspace / "repos/shop").exists()
    pod.options["max_bytes"] = 1 << 30
    assert prepare_one(pod, server.url("public/large"))["state"] == "ready"


def test_what_is_there_counts(pod, server):
    (pod.workspace / "artifacts").mkdir()
    (pod.workspace / "artifacts/film").write_bytes(b"x" * (1 << 20))
    pod.options["max_bytes"] = 1 << 20
    assert "needs more than the 0.0 GiB" in prepare_one(pod, server.url("public/shop"))["reason"]


def test_repositories_are_cloned_at_the_same_time_and_fail_alone(pod, server):
    names = ("one", "two", "three")
    pod.set_repositories(
        *({"url": server.url("slow/shop"), "name": name} for name in names),
        {"url": server.url("public/absent"), "name": "four"},
    )
    assert pod.prepare() == 1
    states = {each["name"]: each["state"] for each in pod.message["repositories"]}
    assert states == {"four": "failed", "one": "ready", "two": "ready", "three": "ready"}
    assert next(iter(states)) == "four"


class TestWorkflows:
    @pytest.fixture(autouse=True)
    def flow(self, server):
        return make_repository(
            server.folder / "flow.git-src",
            {"top": "t", "flows/bug/.ambient/ambient.json": "{}", "flows/bug/x": "x"},
        )

    def prepare(self, pod, server, path):
        pod.set_workflow(server.url("public/flow.git-src"), path)
        pod.prepare()
        return pod.message["workflow"]

    def test_the_whole_repository_is_the_workflow(self, pod, server):
        assert self.prepare(pod, server, "") == {"name": "flow.git-src", "state": "ready"}
        assert (pod.workspace / "workflows/flow.git-src/flows/bug/x").exists()

    @pytest.mark.parametrize("path", ["flows/bug", "./flows//bug/"])
    def test_a_path_is_the_workflow(self, pod, server, path):
        assert self.prepare(pod, server, path)["state"] == "ready"
        folder = pod.workspace / "workflows/flow.git-src"
        assert sorted(each.name for each in folder.iterdir()) == [".ambient", "x"]

    @pytest.mark.parametrize(
        "path", ["flows/absent", "top", "link", "link/x", ".git", "flows/.git"]
    )
    def test_a_path_that_is_no_folder_is_named(self, pod, server, flow, path):
        (flow / "link").symlink_to("flows/bug")
        commit(flow)
        done = self.prepare(pod, server, path)
        assert done["state"] == "failed"
        assert done["reason"] == f"it has no folder `{path}` on this branch"
        assert not (pod.workspace / "workflows/flow.git-src").exists()


def find_children(pid):
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(each) for each in listed.stdout.split()]


def kill_all(process):
    children = find_children(process.pid)
    process.kill()
    process.wait()
    for child in children:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)


def test_a_clone_that_is_killed_leaves_nothing_half_made_and_the_next_run_finishes(pod, server):
    pod.set_repositories({"url": server.url("slow/shop"), "name": "shop"})
    for delay in (0.0, 0.5, 1.2):
        server.is_asked.clear()
        process = pod.start("--ca-file", str(server.ca_file))
        server.is_asked.wait(60)
        time.sleep(delay)
        kill_all(process)
        assert list((pod.workspace / "repos").iterdir()) == []
    assert pod.prepare() == 0
    assert git(pod.workspace / "repos/shop", "status", "--porcelain") == ""
    assert not (pod.workspace / ".reconcile-runner-cloning").exists()


def test_sigterm_ends_git_and_the_program(pod, server):
    pod.set_repositories({"url": server.url("hanging/shop"), "name": "shop"})
    process = pod.start("--ca-file", str(server.ca_file))
    server.is_asked.wait(60)
    children = find_children(process.pid)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert children

    def have_ended():
        return all(not Path(f"/proc/{child}").exists() for child in children)

    until("git has ended", have_ended)
    assert list((pod.workspace / "repos").iterdir()) == []
