"""The program `reconcile-runner`: its commands, their options, and the exit codes.

Every option can be set in the environment: `--state-dir` is `$RECONCILE_RUNNER_STATE_DIR`. Each
command imports its modules when it runs.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from reconcile import __version__
from reconcile.runtime.process import (
    TerminatedError,
    discard_unwritable_output,
    exit_on_sigterm,
    prepare_standard_streams,
)
from reconcile.runtime.settings import read_process_settings

if TYPE_CHECKING:
    from reconcile.runner.credentials import Credentials

_F = TypeVar("_F", bound=Callable[..., Any])
_PATH: Final = click.Path(path_type=Path)
_PORT: Final = click.IntRange(1, 65535)
_SECONDS: Final = click.FloatRange(0, 31_536_000)
_USAGE: Final = 2
_BUG: Final = 70
_INTERRUPTED: Final = 130
_TERMINATED: Final = 143
_ENVIRONMENT: Final = {"auto_envvar_prefix": "RECONCILE_RUNNER"}


def _combine_options(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    def decorate(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_SIZE_UNITS: Final = {"": 1} | {
    f"{unit}{suffix}": base**power
    for suffix, base in (("i", 1024), ("", 1000))
    for power, unit in enumerate("KMGTPE", 1)
}
_QUANTITY: Final = re.compile(
    r"([0-9]{1,20}(?:\.[0-9]{1,9})?)(?:([KMGTPE]i|[kMGTPE])|[eE]([0-9]{1,2}))?"
)


def _parse_quantity(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    """Return the bytes of a quantity of Kubernetes, such as 10Gi."""
    match = _QUANTITY.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is not a number of bytes, such as 10Gi.")
    number, unit, exponent = match.groups()
    scale = _SIZE_UNITS["K" if unit == "k" else unit or ""]
    return int(float(number) * scale * 10 ** int(exponent or 0))


def _check_state_dir(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    parts = value.split("/")
    if any(part in {"", ".", ".."} or "\0" in part for part in parts):
        raise click.BadParameter(f"{value!r} is not a folder inside of the workspace.")
    return value


def _parse_credential_sources(_ctx: click.Context, _param: click.Parameter, value: str) -> Any:
    from reconcile.runner.credentials import parse_sources

    try:
        return parse_sources(value)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise click.BadParameter(f"it is not a list of credentials: {error}") from error


_common_options = _combine_options(
    click.option(
        "--workspace",
        type=_PATH,
        default=Path("/workspace"),
        show_default=True,
        help="The agent's workspace.",
    ),
    click.option(
        "--inputs",
        type=_PATH,
        default=Path("/etc/session"),
        show_default=True,
        help="Directory of the mounted inputs ConfigMap.",
    ),
    click.option(
        "--state-dir",
        default=".claude",
        show_default=True,
        callback=_check_state_dir,
        help="The runner's state directory in the workspace.",
    ),
    click.option(
        "--state",
        type=_PATH,
        default=Path("/var/lib/reconcile-runner"),
        show_default=True,
        help="Directory for this program's state, on a volume that the agent does not mount.",
    ),
    click.option(
        "--credentials",
        type=_PATH,
        default=Path("/etc/credentials"),
        show_default=True,
        help="Directory of the mounted credentials: PROVIDER/FIELD.",
    ),
    click.option(
        "--credential-sources",
        default="[]",
        callback=_parse_credential_sources,
        help="JSON list of the declared credentials: provider, secretName, keys, host.",
    ),
    click.option(
        "--allowed-hosts",
        default="",
        help="Patterns of hosts of repositories, one in each line; empty: all.",
    ),
    click.option(
        "--ca-file", type=_PATH, help="File of CA certificates to trust instead of the public ones."
    ),
    click.option(
        "--termination-log",
        type=_PATH,
        default=Path("/dev/termination-log"),
        show_default=True,
        help="File for one line of JSON about what was done.",
    ),
)


def _build_credentials(options: dict[str, Any]) -> "Credentials":
    from reconcile.runner.credentials import Credentials

    return Credentials(options.pop("credentials"), options.pop("credential_sources"))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile-runner")
def runner_cli() -> None:
    """Prepare a session's workspace for the agent, and connect the agent to its session.

    `prepare` clones repositories before the agent starts; `bridge` runs next to it. Every option
    can be set in the environment: --state-dir is $RECONCILE_RUNNER_STATE_DIR.
    """


@runner_cli.command(context_settings=_ENVIRONMENT)
@_common_options
@click.option(
    "--on-failure",
    type=click.Choice(["Fail", "Continue"]),
    default="Fail",
    show_default=True,
    help="Whether the runner starts although something failed.",
)
@click.option(
    "--clone-seconds",
    type=click.IntRange(1, 86_400),
    default=600,
    show_default=True,
    help="Seconds for each repository.",
)
@click.option(
    "--max-bytes",
    default="0",
    callback=_parse_quantity,
    help="The workspace's size, as a quantity of Kubernetes; 0: no limit.",
)
@click.option("--allow-file-urls", is_flag=True, hidden=True, help="Clone file: URLs, for tests.")
def prepare(on_failure: str, allow_file_urls: bool, **options: Any) -> int:  # noqa: FBT001 - click
    """Make the agent's folders and clone its repositories; run it before the runner starts."""
    from reconcile.runner.prepare import PrepareOptions, run_prepare

    exit_on_sigterm()
    hosts = options.pop("allowed_hosts").split()
    return run_prepare(
        PrepareOptions(
            credentials=_build_credentials(options),
            environ=read_process_settings().environ,
            allowed_hosts=tuple(hosts),
            fails=on_failure == "Fail",
            allow_files=allow_file_urls,
            **options,
        )
    )


@runner_cli.command(context_settings=_ENVIRONMENT)
@_common_options
@click.option("--namespace", required=True, help="The session's namespace.")
@click.option("--session", required=True, help="The session's name.")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The pod's address, for probes; loopback is listened on besides.",
)
@click.option("--port", type=_PORT, default=8095, show_default=True, help="Port to listen on.")
@click.option(
    "--runner-port", type=_PORT, default=8001, show_default=True, help="The runner's port."
)
@click.option(
    "--pod-info",
    type=_PATH,
    default=Path("/etc/podinfo"),
    show_default=True,
    help="Folder with the pod's UID, mounted by the downward API.",
)
@click.option(
    "--mirror-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The mirror's port on the pod's address; 0: there is no mirror.",
)
@click.option(
    "--inactivity-seconds",
    type=_SECONDS,
    default=0.0,
    help="Seconds without activity after which the session ends; 0: never.",
)
@click.option(
    "--stop-on-run-finished",
    type=bool,
    default=False,
    help="Whether a run that ended well ends the session.",
)
@click.option(
    "--quiet-seconds",
    type=_SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds without an event after such a run.",
)
@click.option(
    "--on-interrupted-run",
    type=click.Choice(["Wait", "Continue"]),
    default="Wait",
    show_default=True,
    help="What follows a run that was under way when its pod ended.",
)
@click.option(
    "--start-seconds",
    type=_SECONDS,
    default=3600.0,
    show_default=True,
    help="Seconds in which the runner must accept connections if there is a prompt for it.",
)
@click.option(
    "--delivery-seconds",
    type=_SECONDS,
    default=300.0,
    show_default=True,
    help="Seconds after that for which the delivery of a prompt may fail.",
)
@click.option(
    "--silent-seconds",
    type=click.FloatRange(0.1, 31_536_000),
    default=120.0,
    show_default=True,
    help="Seconds after which an open run that says nothing is reported.",
)
@click.option("--allow-file-urls", is_flag=True, hidden=True, help="Clone file: URLs, for tests.")
def bridge(**options: Any) -> int:
    """Connect the runner to its session until the session ends; run it next to the runner."""
    from reconcile.runner.bridge import BridgeSettings, run_bridge

    hosts = options.pop("allowed_hosts").split()
    credentials = _build_credentials(options)
    return run_bridge(
        BridgeSettings(credentials=credentials, allowed_hosts=tuple(hosts), **options)
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit with its code."""
    prepare_standard_streams()
    code = run_runner_cli(arguments)
    discard_unwritable_output()
    # A thread that waits for a disk or another program must not keep the process running.
    os._exit(code)


def run_runner_cli(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        code = runner_cli.main(arguments, prog_name="reconcile-runner", standalone_mode=False)
    except BaseException as error:  # noqa: BLE001 - every error must become an exit code
        return _handle_error(error)
    return code if isinstance(code, int) else 0


def _handle_error(error: BaseException) -> int:
    match error:
        case click.ClickException():
            with suppress(OSError):
                error.show()
            return _USAGE
        case SystemExit(code=int(code)):
            return code
        case TerminatedError():
            return _TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return _INTERRUPTED
        case _:
            # Its text may contain anything, also a secret.
            with suppress(OSError):
                click.echo(
                    f"Error: {type(error).__name__} in {_find_place(error)}: this is a defect of "
                    "reconcile-runner. Please report it.",
                    err=True,
                )
            return _BUG


def _find_place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "no code"
