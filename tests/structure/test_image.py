"""The image has the programs that pods run, and those that these run."""

import re
import tomllib
from pathlib import Path

import pytest

from reconcile.mirror.cli.main import mirror_cli
from reconcile.runner.cli import runner_cli

ROOT = Path(__file__).parent.parent.parent
STAGE = (ROOT / "Containerfile").read_text(encoding="utf-8").partition("FROM python AS build")[0]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
TEMPLATES = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((ROOT / "templates").glob("*.j2"))
)


@pytest.mark.parametrize("package", ["ca-certificates", "git", "openssh-client"])
def test_what_prepare_needs_is_installed(package):
    """`prepare` clones over HTTPS and ssh."""
    assert re.search(rf"\s{package}\s", STAGE)


def test_the_user_of_the_pods_has_a_name():
    """Without one, ssh refuses to start."""
    pod = (ROOT / "templates/pod.yaml.j2").read_text(encoding="utf-8")
    (uid,), (gid,) = (re.findall(rf"runAs{each}: (\d+)", pod) for each in ("User", "Group"))
    assert re.search(rf"useradd --uid {uid} --gid {gid} ", STAGE)


def test_every_program_that_a_template_starts_is_a_script_of_the_image():
    started = set(re.findall(r"\[\s*\"(reconcile[a-z-]*)\"", TEMPLATES))
    assert {"reconcile-mirror", "reconcile-runner"} <= started <= set(SCRIPTS)


def test_every_variable_that_a_template_sets_is_that_of_an_option():
    named = set(re.findall(r"RECONCILE_(?:MIRROR|RUNNER)_[A-Z_]+", TEMPLATES))
    assert named <= {*_variables("MIRROR", mirror_cli), *_variables("RUNNER", runner_cli)}


def _variables(program, group):
    options = [option for command in group.commands.values() for option in command.params]
    flags = [flag for option in options for flag in option.opts if flag.startswith("--")]
    return [
        f"RECONCILE_{program}_{flag.removeprefix('--').replace('-', '_').upper()}" for flag in flags
    ]
