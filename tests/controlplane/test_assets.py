"""Without usable binaries the message names what is missing and what to set."""

from pathlib import Path

import pytest

from tests.controlplane import build, processes
from tests.controlplane.errors import ControlPlaneError, ControlPlaneMissing
from tests.controlplane.server import running


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that KUBEBUILDER_ASSETS names, still empty."""
    folder = tmp_path / "assets"
    folder.mkdir()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))
    return folder


def test_the_named_folder_is_taken_as_it_is_without_a_controller_manager(named: Path) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        _script(named / name, "exit 0")
    assert build.assets() == named


def test_a_named_folder_that_lacks_a_binary_is_an_error_that_names_it(named: Path) -> None:
    _script(named / "etcd", "exit 0")
    with pytest.raises(ControlPlaneMissing, match=r"has no kube-apiserver, kubectl\. Set KUBE"):
        build.assets()


def test_a_component_that_does_not_start_shows_the_end_of_its_log(
    named: Path, tmp_path: Path
) -> None:
    _script(named / "etcd", "echo the disk is on fire; exit 3")
    for name in ("kube-apiserver", "kubectl"):
        _script(named / name, "exec sleep 600")
    with (
        pytest.raises(ControlPlaneError, match=r"etcd ended with 3:\n    the disk is on fire"),
        running(tmp_path / "state"),
    ):
        pass
    assert (tmp_path / "state" / "etcd.log").read_text() == "the disk is on fire\n"


def test_a_failing_step_shows_its_command_and_the_end_of_its_log(tmp_path: Path) -> None:
    command = ["sh", "-c", "seq 100; exit 4"]
    with pytest.raises(ControlPlaneError, match=r"exit 4 from: sh -c 'seq 100; exit 4'\n    71\n"):
        processes.run(command, log=tmp_path / "log", cwd=tmp_path, env={})


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ControlPlaneError, match="no-such-tool is not installed"):
        processes.run(["no-such-tool"], log=tmp_path / "log", cwd=tmp_path, env={})
