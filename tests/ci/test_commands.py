"""How programs end."""

import os
import sys

from reconcile.ci import commands
from reconcile.ci.commands import run_process


def python(code, folder):
    return run_process([sys.executable, "-c", code], dict(os.environ), folder)


def test_what_a_program_says_is_kept(tmp_path):
    ended = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (ended.code, ended.out, ended.err) == (3, "out\n", "err\n")


def test_it_runs_in_its_folder_with_its_environment_and_no_input(tmp_path):
    code = "import os, sys; print(os.getcwd(), os.environ['WORD'], sys.stdin.read() == '')"
    ended = run_process([sys.executable, "-c", code], {"WORD": "hello"}, tmp_path)
    assert ended.out.split() == [str(tmp_path), "hello", "True"]


def test_bytes_that_are_no_text_are_shown(tmp_path):
    assert python("import os; os.write(1, b'a\\xffb')", tmp_path).out == "a\\xffb"


def test_a_program_that_a_signal_ends_has_failed(tmp_path):
    assert python("import os; os.kill(os.getpid(), 9)", tmp_path).code == 137


def test_a_program_that_is_not_there_ends_as_shells_have_it(tmp_path):
    ended = run_process(["no-such-program"], {}, tmp_path)
    assert (ended.code, ended.err) == (127, "no-such-program: No such file or directory")


def test_a_program_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "_TIMEOUT_SECONDS", 0.2)
    assert python("import signal; signal.pause()", tmp_path).code == 124


def test_a_missing_folder_is_an_error(tmp_path):
    assert python("", tmp_path / "missing").code == 127
