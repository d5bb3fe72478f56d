"""The command line of `reconcile-mirror`, and that the documents say the same."""

import re
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from reconcile.mirror import errors, wiring
from reconcile.mirror.cli.history import open_store_from_options
from reconcile.mirror.cli.main import env_variable_name, mirror_cli, run_mirror_cli
from reconcile.mirror.exit_codes import (
    MEANINGS,
    MirrorExitCode,
    exit_code_for_flush,
    exit_code_for_mirror_error,
)
from reconcile.mirror.sidecar.http import COUNTERS, GAUGES
from reconcile.runtime.settings import ProcessSettings

DOCS = (Path(__file__).parents[2] / "docs" / "mirror.md").read_text(encoding="utf-8")


def _run(*arguments, **environ):
    return run_mirror_cli(list(arguments), ProcessSettings(no_color=True, environ=environ))


def _options():
    for name, command in mirror_cli.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for flag in (*parameter.opts, *parameter.secondary_opts):
                    yield name, flag


@pytest.mark.parametrize("name", sorted(mirror_cli.commands))
def test_every_command_is_documented_and_has_help(name):
    assert f"`reconcile-mirror {name}" in DOCS
    assert mirror_cli.commands[name].help


@pytest.mark.parametrize(("command", "flag"), sorted(set(_options())))
def test_every_option_is_documented_with_its_command(command, flag):
    rows = [line for line in DOCS.splitlines() if line.startswith("| `-") and f"`{flag}" in line]
    assert any(f"`{command}`" in row for row in rows), f"{command} {flag}"


def test_the_table_of_exit_codes_is_that_of_the_program():
    documented = dict(re.findall(r"^\| (\d+) \| (.+) \|$", DOCS, re.MULTILINE))
    assert documented == {str(code.value): meaning for code, meaning in MEANINGS.items()}
    assert set(MEANINGS) == set(MirrorExitCode)


def test_every_metric_is_documented():
    documented = set(re.findall(r"^\| `(reconcile_mirror_\w+)` \|", DOCS, re.MULTILINE))
    assert documented == {*GAUGES, *(f"{name}_total" for name in COUNTERS)}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError, MirrorExitCode.SETTINGS),
        (errors.DeniedError, MirrorExitCode.STORE),
        (errors.StoreAwayError, MirrorExitCode.STORE),
        (errors.DamagedError, MirrorExitCode.SNAPSHOT),
        (errors.UnknownFormatError, MirrorExitCode.SNAPSHOT),
        (errors.PartialError, MirrorExitCode.SNAPSHOT),
        (errors.FencedError, MirrorExitCode.FENCED),
        (errors.MarkError, MirrorExitCode.WORKSPACE),
        (errors.WorkspaceError, MirrorExitCode.WORKSPACE),
        (errors.MirrorError, MirrorExitCode.BUG),
    ],
)
def test_each_error_has_its_exit_code(error, code):
    assert exit_code_for_mirror_error(error("x")) is code


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("flushed", MirrorExitCode.OK),
        ("fenced", MirrorExitCode.FENCED),
        ("partial", MirrorExitCode.LOST),
        ("failed", MirrorExitCode.LOST),
        ("late", MirrorExitCode.LOST),
    ],
)
def test_each_end_has_its_exit_code(outcome, code):
    assert exit_code_for_flush(outcome) is code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sync", "--nothing"), MirrorExitCode.USAGE),
        (("sync", "--transfers=0"), MirrorExitCode.USAGE),
        (("status",), MirrorExitCode.USAGE),
        (("hydrate",), MirrorExitCode.SETTINGS),
        (("hydrate", "--pod-uid=u"), MirrorExitCode.SETTINGS),
        (("hydrate", "--pod-uid=u", "--prefix=a/../b"), MirrorExitCode.SETTINGS),
        (("sync", "--runner-port=1", "--runner-done=x"), MirrorExitCode.SETTINGS),
        (("sync", "--exclude=a\nb"), MirrorExitCode.SETTINGS),
    ],
)
def test_malformed_values_are_reported_without_a_traceback(arguments, code, capsys, tmp_path):
    given = [*arguments, f"--state={tmp_path}"] if arguments[0] != "status" else list(arguments)
    ended = _run(*given, RECONCILE_MIRROR_WORKSPACE=str(tmp_path))
    if "--exclude=a\nb" in arguments:
        assert ended in {MirrorExitCode.WORKSPACE, code}
    else:
        assert ended == code
    assert "Traceback" not in capsys.readouterr().err


def test_the_environment_gives_what_the_command_line_does_not(tmp_path):
    state = tmp_path / "by-environment"
    assert _run("prestop", RECONCILE_MIRROR_STATE=str(state)) == MirrorExitCode.OK
    assert (state / "ending").exists()
    other = tmp_path / "by-option"
    assert (
        _run("prestop", f"--state={other}", RECONCILE_MIRROR_STATE=str(state)) == MirrorExitCode.OK
    )
    assert (other / "ending").exists()


def test_each_option_has_a_variable_of_its_own():
    for command in mirror_cli.commands.values():
        names = [
            env_variable_name(each) for each in command.params if isinstance(each, click.Option)
        ]
        assert len(names) == len(set(names))
        assert all(re.fullmatch(r"RECONCILE_MIRROR_[A-Z_]+", name) for name in names)


def test_a_bad_value_in_the_environment_is_a_wrong_command_line(capsys):
    assert _run("sync", RECONCILE_MIRROR_TRANSFERS="many") == MirrorExitCode.USAGE
    assert "many" in capsys.readouterr().err


def test_a_pass_loads_neither_the_cluster_client_nor_what_it_does_not_need(tmp_path):
    code = (
        "import sys\n"
        "from reconcile.mirror.cli.main import run_mirror_cli\n"
        "from reconcile.runtime.settings import ProcessSettings\n"
        "run_mirror_cli(['sync', '--once', '--prefix=a/b',"
        f" '--state={tmp_path}', '--workspace={tmp_path}'],"
        " ProcessSettings(no_color=True, environ={}))\n"
        "print([n for n in ('pykube', 'minio', 'prometheus_client', 'jinja2', 'requests')"
        " if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


_SECONDS = [
    (command, flag)
    for command, options in mirror_cli.commands.items()
    for parameter in options.params
    for flag in parameter.opts
    if isinstance(parameter.type, click.types.FloatRange)
]


@pytest.mark.parametrize(("command", "flag"), _SECONDS)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "1e300", "-1", ""])
def test_seconds_are_finite_and_can_be_waited_for(command, flag, value, capsys):
    assert _run(command, f"{flag}={value}") == MirrorExitCode.USAGE
    assert flag in capsys.readouterr().err


def test_seconds_of_the_environment_are_finite_too(capsys):
    assert _run("sync", RECONCILE_MIRROR_INTERVAL="nan") == MirrorExitCode.USAGE
    assert "'nan' is not a finite number of seconds" in capsys.readouterr().err


def test_arguments_and_settings_are_utf_8(capsys):
    assert _run("hydrate", "--prefix", "\udcff/s") == MirrorExitCode.USAGE
    assert _run("hydrate", RECONCILE_MIRROR_PREFIX="\udcff/s") == MirrorExitCode.USAGE
    first, second = (text for text in capsys.readouterr().err.splitlines() if "not UTF-8" in text)
    assert first == r"Error: this argument is not UTF-8: '\udcff/s'"
    assert second == r"Error: $RECONCILE_MIRROR_PREFIX is not UTF-8: '\udcff/s'"


@pytest.mark.parametrize("prefix", ["a/b\nc", "a/\x1b[31m", "a/\u202eb", "", "/", "a/../b"])
def test_a_prefix_is_a_name_without_control_characters(prefix, tmp_path, capsys):
    options = ("--project-secret", str(tmp_path))
    assert _run("ls", "--prefix", prefix, *options) == MirrorExitCode.SETTINGS
    assert "write NAMESPACE/SESSION" in capsys.readouterr().err


def test_a_retry_ends_with_its_command(memory, script, monkeypatch):
    monkeypatch.setattr(wiring.LazyStore, "_connect", lambda _self: memory)
    script.fail("get", errors.StoreAwayError("no route"), times=99)
    with click.Context(mirror_cli.commands["log"]):
        store = open_store_from_options({"prefix": "ns/session", "retry_timeout": 3600}).store
        abandoned = threading.Thread(target=_get_in_vain, args=(store,), daemon=True)
        abandoned.start()
    abandoned.join(60)
    assert not abandoned.is_alive()


def _get_in_vain(store):
    with pytest.raises(errors.StoreAwayError, match="no route"):
        store.get("HEAD")
