"""Files that an option names."""

import os
import threading
from pathlib import Path

import pytest

from reconcile.adapters.kube.credentials import Credential, TokenFile
from reconcile.adapters.kube.kubeconfig import read_kubeconfig
from reconcile.ci.environment import detect_job
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.errors import ReconcileError
from reconcile.runtime.files import read_limited

ENDLESS = Path("/dev/zero")


def test_a_file_without_an_end_is_an_error():
    with pytest.raises(OSError, match="it has more than 1 MiB"):
        read_limited(ENDLESS, 1 << 20)


def test_a_file_of_just_the_limit_and_a_pipe_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"1234")
    assert read_limited(tmp_path / "file", 4) == b"1234"
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"12",))
    writer.start()
    assert read_limited(tmp_path / "pipe", 4) == b"12"
    writer.join()


@pytest.mark.parametrize(
    "read",
    [
        lambda: read_kubeconfig(ENDLESS),
        lambda: TokenFile(ENDLESS, Credential()).current(),
        lambda: detect_job({"GITHUB_ACTIONS": "true", "GITHUB_EVENT_PATH": str(ENDLESS)}),
    ],
)
def test_whatever_is_named_is_read_up_to_a_limit(read):
    with pytest.raises(ReconcileError, match="it has more than 64 MiB"):
        read()


def test_an_approved_plan_is_read_up_to_a_limit(capsys):
    assert run_reconcile_cli(["apply", "--plan-digest", f"@{ENDLESS}"]) == 2
    assert "it has more than 64 MiB" in capsys.readouterr().err
