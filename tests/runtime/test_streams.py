"""Both programs without standard streams, and with streams that cannot be written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("reconcile", "reconcile.mirror")


def run(program, *arguments, redirect, **environ):
    shell = f'exec "$0" -m {program} "$@" {redirect}'
    return subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing_else(program, redirect):
    done = run(program, "--version", redirect=redirect)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_error_without_standard_error_keeps_its_exit_code(program):
    assert run(program, "--nonsense", redirect="2>&-").returncode == 2
    assert run(program, "--nonsense", redirect="2>/dev/full").returncode == 2


def test_a_file_does_not_get_the_descriptor_of_a_closed_stream(tmp_path):
    (tmp_path / "team-a").mkdir()
    (tmp_path / "team-a" / "x.yaml").write_text("a: [")
    state = tmp_path / "state.json"
    done = run(
        "reconcile", "apply", str(tmp_path), "--cluster", f"embedded:{state}", redirect=">&- 2>&-"
    )
    assert done.returncode == 3
    assert not state.exists() or "is not valid" not in state.read_text()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_a_full_disk_is_an_error_and_not_a_defect(program, argument):
    done = run(program, argument, redirect=">/dev/full")
    assert done.returncode == 74
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [("diff", "-o", "json"), ("render",), ("schema",)])
def test_a_full_disk_is_an_error_of_each_command(arguments, tmp_path):
    (tmp_path / "team-a").mkdir()
    (tmp_path / "team-a" / "x.yaml").write_text(
        "apiVersion: vteam.ambient-code/v1alpha1\nkind: AgenticSession\n"
        "metadata: {name: x}\nspec: {initialPrompt: hello}\n"
    )
    name, *options = arguments
    tree = [] if name == "schema" else [str(tmp_path)]
    cluster = ["--cluster", f"embedded:{tmp_path / 'state.json'}"] if name == "diff" else []
    done = run("reconcile", name, *tree, *cluster, *options, redirect=">/dev/full")
    assert (done.returncode, done.stderr) == (
        74,
        b"Error: standard output: No space left on device\n",
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_arguments_control_no_terminal(program):
    done = run(program, "diff", "a", "\x1b[31mred\u202e\n::error::x", redirect="", LC_ALL="C.UTF-8")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert "\u202e".encode() not in done.stderr
    assert b"\n::" not in done.stderr
