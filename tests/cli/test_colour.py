"""When output is coloured, and what goes to which stream."""

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ESCAPE = "\x1b["


@pytest.mark.parametrize("command", ["diff", "apply", "status"])
def test_output_that_is_not_a_terminal_is_not_coloured(tree, command):
    assert ESCAPE not in tree.go(command).out


@pytest.mark.parametrize("command", ["diff", "apply"])
def test_colour_can_be_requested(tree, command):
    assert ESCAPE in tree.go(command, "--color").out


def test_requested_colour_takes_precedence_over_the_environment(tree, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert ESCAPE in tree.go("diff", "--color").out


def test_findings_are_coloured_like_everything_else(tree):
    tree.add("two", "nonsense: 1")
    assert ESCAPE in tree.go("validate", "--color").err
    assert ESCAPE not in tree.go("validate").err


@pytest.mark.parametrize("command", ["diff", "apply", "status", "validate"])
def test_json_is_never_coloured(tree, command):
    assert ESCAPE not in tree.go(command, "-o", "json", "--color").out


def on_a_terminal(tree, *arguments, **environ):
    """The output on a terminal."""
    ours, theirs = pty.openpty()
    where = [str(tree.root), "--cluster", f"embedded:{tree.state}"]
    command = [sys.executable, "-m", "reconcile", arguments[0], *where, *arguments[1:]]
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environ = {**kept, "PYTHONPATH": str(ROOT), **environ}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environ) as process:
        os.close(theirs)
        seen = b"".join(read_until_closed(ours))
    os.close(ours)
    assert process.returncode in {0, 1}, seen
    return seen.decode()


def read_until_closed(terminal):
    while select.select([terminal], [], [], 60)[0]:
        try:
            yield os.read(terminal, 1 << 16)
        except OSError:
            return


def test_a_terminal_gets_colour(tree):
    assert ESCAPE in on_a_terminal(tree, "diff")


@pytest.mark.parametrize(
    ("arguments", "environ"), [((), {"NO_COLOR": "1"}), (("--no-color",), {"NO_COLOR": ""})]
)
def test_a_terminal_gets_no_colour_if_it_is_disabled(tree, arguments, environ):
    assert ESCAPE not in on_a_terminal(tree, "diff", *arguments, **environ)


def test_an_empty_no_color_is_ignored(tree):
    assert ESCAPE in on_a_terminal(tree, "diff", NO_COLOR="")


def test_a_terminal_shows_the_progress_of_an_apply(tree):
    assert "1 sessions done" in on_a_terminal(tree.add("two"), "apply")


def test_a_log_does_not_show_progress(tree):
    assert "sessions done" not in tree.go("apply").err
