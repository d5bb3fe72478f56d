"""Clones from OpenSSH's server: keys, known hosts, and what is said where they are missing."""

import os
import subprocess

import pytest

from tests.conftest import skip_if_missing
from tests.controlplane.waiting import until
from tests.mirror.workspace.unprivileged import NOBODY, open_folder
from tests.runner import ssh_server
from tests.runner.git_server import git, make_repository
from tests.runner.preparing import Pod


@pytest.fixture(scope="module")
def server():
    with skip_if_missing(), open_folder() as folder, ssh_server.running(folder) as server:
        yield server


@pytest.fixture(scope="module")
def shop():
    with open_folder() as folder:
        shop = make_repository(folder / "shop")
        subprocess.run(["chown", "-R", str(os.getuid() or NOBODY), shop], check=True)
        yield shop


@pytest.fixture
def pod(tmp_path):
    folder = tmp_path / "pod"
    folder.mkdir()
    return Pod(folder)


def prepare(pod, url):
    pod.set_repositories({"url": url, "name": "shop"})
    pod.prepare()
    return pod.find_repository("shop")


@pytest.mark.parametrize("form", ["as it is", "without its last line end", "of Windows"])
def test_a_key_opens_a_repository_and_stays_nowhere(pod, server, shop, capfd, form):
    key = {
        "as it is": server.key,
        "without its last line end": server.key.rstrip("\n"),
        "of Windows": server.key.replace("\n", "\r\n"),
    }[form]
    pod.set_credential("gitlab", "127.0.0.1", sshKey=key, knownHosts=server.known_hosts)
    assert prepare(pod, server.url(shop)) == {"name": "shop", "state": "ready"}
    clone = pod.workspace / "repos/shop"
    assert git(clone, "config", "remote.origin.url") == server.url(shop)
    line = server.key.splitlines()[1]
    stored = (clone / ".git/config").read_text() + pod.log.read_text() + capfd.readouterr().err
    assert line not in stored
    left = list(pod.state.iterdir())
    assert [each.name for each in left] == ["prepared-inputs.json"]
    assert line not in left[0].read_text()


def test_without_a_key_it_says_which_secret_would_be_used(pod, server, shop):
    pod.set_credential("gitlab", "127.0.0.1", knownHosts=server.known_hosts)
    assert prepare(pod, server.url(shop))["reason"] == (
        "it is private: Secret `git-gitlab` has no key `ssh-privatekey`, which would be used"
    )


def test_another_key_is_refused(pod, server, shop, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    pod.set_credential("gitlab", "127.0.0.1", sshKey=key.read_text(), knownHosts=server.known_hosts)
    assert (
        "the server refuses key `ssh-privatekey` of Secret `git-gitlab`"
        in (prepare(pod, server.url(shop))["reason"])
    )


@pytest.mark.parametrize("known", ["", "other"])
def test_a_host_key_that_is_not_known_is_refused(pod, server, shop, known):
    lines = {
        "": "",
        "other": f"[127.0.0.1]:{server.port} ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAICTjhsAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
    }
    pod.set_credential("gitlab", "127.0.0.1", sshKey=server.key, knownHosts=lines[known])
    problem = "has changed" if known else "is not known"
    assert prepare(pod, server.url(shop))["reason"] == (
        f"the host key of 127.0.0.1 {problem}: put its `known_hosts` line into key `known_hosts` "
        "of Secret `git-gitlab`"
    )


def test_a_repository_that_is_not_there_is_named(pod, server, shop):
    pod.set_credential("gitlab", "127.0.0.1", sshKey=server.key, knownHosts=server.known_hosts)
    assert prepare(pod, server.url(shop / "absent"))["reason"] == (
        "it does not exist, or key `ssh-privatekey` of Secret `git-gitlab` may not read it"
    )


def test_the_keys_of_the_machine_are_not_used(pod, server, shop, monkeypatch):
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", str(pod.folder / "agent")], stdout=subprocess.DEVNULL
    )
    socket = pod.folder / "agent"
    try:
        until("the agent listens", socket.exists)
        environ = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        subprocess.run(["ssh-add", "-q", "-"], input=server.key, text=True, env=environ, check=True)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        monkeypatch.setenv("GIT_SSH_COMMAND", "false")
        pod.set_credential("gitlab", "127.0.0.1", knownHosts=server.known_hosts)
        assert prepare(pod, server.url(shop))["state"] == "failed"
    finally:
        agent.terminate()
        agent.wait()
