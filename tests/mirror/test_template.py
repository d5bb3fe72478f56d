"""The pod's template and the mirror's command line use the same names."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.spec.formats import BANDWIDTH
from reconcile.mirror.cli.main import env_variable_name, mirror_cli
from reconcile.mirror.errors import SettingsError
from reconcile.mirror.units import parse_bandwidth
from tests.core.render.test_mirror_containers import CUSTOM, SHAPES, SHARED, mirrors


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", [SHARED, CUSTOM], ids=["shared", "custom"])
def test_each_variable_that_the_pod_sets_is_an_option_of_the_command_that_reads_it(spec, shape):
    for container in mirrors(spec, shape).values():
        command = mirror_cli.commands[container["command"][1]]
        known = {
            env_variable_name(each) for each in command.params if isinstance(each, click.Option)
        }
        given = {entry["name"] for entry in container["env"]}
        assert {name for name in given if name.startswith("RECONCILE_MIRROR_")} <= known


@pytest.mark.parametrize("shape", SHAPES)
def test_each_value_that_the_pod_sets_is_one_that_the_command_takes(shape):
    for container in mirrors(CUSTOM, shape).values():
        command = mirror_cli.commands[container["command"][1]]
        options = {env_variable_name(each): each for each in command.params}
        for entry in container["env"]:
            if "value" in entry and (option := options.get(entry["name"])) is not None:
                value = entry["value"].splitlines() if option.multiple else entry["value"]
                option.type_cast_value(click.Context(command), value)


def test_the_pod_runs_only_existing_commands():
    native = mirrors(SHARED, "native")["sync"]
    hook = native["lifecycle"]["preStop"]["exec"]["command"]
    assert hook[0] == "reconcile-mirror"
    assert hook[1] in mirror_cli.commands


@given(
    st.one_of(
        st.from_regex(r"[0-9]{1,4}(k|K|M|G|T)?i?B?", fullmatch=True),
        st.from_regex(BANDWIDTH.schema["pattern"][1:-1], fullmatch=True),
        st.text(min_size=1, max_size=6),
    )
)
def test_a_session_file_accepts_the_bandwidths_that_the_mirror_accepts(text):
    try:
        parse_bandwidth(text)
    except SettingsError:
        assert BANDWIDTH.find_error(text) != ""
    else:
        assert BANDWIDTH.find_error(text) == ""
