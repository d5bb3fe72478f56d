"""Secrets in the environment of the process."""

import subprocess
import sys

PROGRAM = """
import os, subprocess
from reconcile.runtime.process import erase_environment
erase_environment(["SECRET", "NOT_SET"])
assert "SECRET" not in os.environ and os.environ["OTHER"] == "kept"
read = "tr '\\\\0' '\\\\n' < /proc/$PPID/environ; env"
print(subprocess.run(["sh", "-c", read], capture_output=True, text=True).stdout)
"""


def test_an_erased_variable_is_not_found_by_a_program_that_is_started():
    environ = {"SECRET": "value-of-the-secret", "OTHER": "kept", "PYTHONPATH": ":".join(sys.path)}
    environ["PATH"] = "/usr/bin:/bin"
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    assert "OTHER=kept" in done.stdout
    assert "value-of-the-secret" not in done.stdout
