"""The pod's template and the command line of `reconcile-runner` use the same names."""

import click
import pytest

from reconcile.runner.cli import runner_cli
from tests.core.render.sessions import EVERY_FIELD
from tests.core.render.test_runner_containers import SHAPES, WORK, containers

PREFIX = "RECONCILE_RUNNER_"


def options(command):
    """The options of a command by the variable that sets each."""
    return {
        f"{PREFIX}{each.name}".upper(): each
        for each in runner_cli.commands[command].params
        if isinstance(each, click.Option)
    }


@pytest.mark.parametrize("command", ["prepare", "bridge"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", [WORK, EVERY_FIELD], ids=["one field", "every field"])
def test_each_variable_that_the_pod_sets_is_an_option_that_takes_its_value(command, shape, spec):
    container = containers(spec, shape)[command]
    assert container["command"] == ["reconcile-runner", command]
    known = options(command)
    for entry in container["env"]:
        if entry["name"].startswith(PREFIX):
            option = known[entry["name"]]
            if "value" in entry:
                option.type_cast_value(click.Context(runner_cli.commands[command]), entry["value"])


@pytest.mark.parametrize("command", ["prepare", "bridge"])
def test_each_option_that_must_be_set_is_set_by_the_pod(command):
    given = {entry["name"] for entry in containers(WORK)[command]["env"]}
    assert {name for name, option in options(command).items() if option.required} <= given
