"""Signals, pipes, shells and terminals."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from tests.cli.trees import ON_CLUSTERS

ARROW = "caf\u00e9 \u2192"
RECREATE = "update: {strategy: Recreate}"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", ON_CLUSTERS)
def test_ctrl_c_ends_with_130(tree, command, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(EmbeddedCluster, "list", interrupted)
    ended = tree.go(command)
    assert ended.code == 130
    assert "Traceback" not in ended.err


# As a process


def reconcile(*arguments, **options):
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("environ", {})}
    command = [sys.executable, "-m", "reconcile", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, **options
    )


def test_a_closed_pipe_ends_with_141_and_no_message(tree):
    for number in range(30):
        tree.add(f"s{number}")
    with reconcile("render", str(tree.root)) as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) == 141
    assert err == b""


def test_a_diff_into_a_closed_pipe_does_not_look_like_changes(tree):
    with reconcile("diff", str(tree.root), "--cluster", f"embedded:{tree.state}") as process:
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) == 141
    assert err == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_prints_a_script(shell):
    with reconcile(environ={"_RECONCILE_COMPLETE": f"{shell}_source"}) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"_RECONCILE_COMPLETE" in out
    assert err == b""


def test_shell_completion_knows_the_commands():
    environ = {
        "_RECONCILE_COMPLETE": "bash_complete",
        "COMP_WORDS": "reconcile va",
        "COMP_CWORD": "1",
    }
    with reconcile(environ=environ) as process:
        out, _ = process.communicate(timeout=60)
    assert b"validate" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_an_apply_in_order(tree, number, code):
    """The lock of the state file is held, so that the program waits in the middle of its work."""
    lock = tree.state.with_name(f"{tree.state.name}.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with reconcile("apply", str(tree.root), "--cluster", f"embedded:{tree.state}") as process:
            assert process.stdout.readline() == b"team-a/one\n"
            process.send_signal(number)
            fcntl.flock(held, fcntl.LOCK_UN)
            out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert b"skipped" not in out


def test_names_that_are_not_utf_8_are_reported(tree):
    Path(os.fsdecode(os.fsencode(tree.root / "team-a") + b"/\xff.yaml")).write_text("{")
    for form in ("text", "json"):
        with reconcile("validate", str(tree.root), "-o", form) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 3, err
        assert b"Traceback" not in err
        assert b"dcff" in out + err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", ["render", "diff", "validate"])
def test_a_terminal_without_unicode_is_supported(tree, command, encoding):
    tree.add("one", f"initialPrompt: work\n{RECREATE}").go("apply")
    tree.add("one", f"initialPrompt: {ARROW}\nrunner: {{port: 9000}}\n{RECREATE}")
    tree.add("two", f"{ARROW}: 1")
    where = ["--cluster", f"embedded:{tree.state}"] if command == "diff" else []
    environ = {"PYTHONIOENCODING": encoding}
    with reconcile(command, str(tree.root), *where, environ=environ) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
