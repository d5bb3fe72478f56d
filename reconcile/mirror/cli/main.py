"""The program `reconcile-mirror`: its commands, and the mapping from errors to exit codes.

Each command imports its modules when it runs, so that a pass without work starts quickly.
"""

import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile import __version__
from reconcile.mirror.cli.history import HISTORY_COMMANDS
from reconcile.mirror.cli.import_export import IMPORT_EXPORT_COMMANDS
from reconcile.mirror.cli.options import (
    PATH_TYPE,
    SecondsRange,
    mirror_options,
    state_option,
    status_server_options,
)
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.runtime.process import (
    TerminatedError,
    describe_os_error,
    discard_unwritable_output,
    exit_on_sigterm,
    prepare_standard_streams,
)
from reconcile.runtime.settings import ProcessSettings, read_process_settings

if TYPE_CHECKING:
    from reconcile.mirror.errors import MirrorError
    from reconcile.mirror.sidecar.status import StatusServerOptions
    from reconcile.mirror.wiring import MirrorConfig

_ENV_PREFIX = "RECONCILE_MIRROR_"


def _build_config(options: dict[str, Any]) -> "MirrorConfig":
    from reconcile.mirror.wiring import MirrorConfig

    config = MirrorConfig(**{name: options.pop(name) for name in MirrorConfig.__struct_fields__})
    config.check_directories()
    return config


def _build_server_options(options: dict[str, Any]) -> "StatusServerOptions":
    from reconcile.mirror.sidecar.status import StatusServerOptions

    return StatusServerOptions(options.pop("host"), options.pop("port"), options.pop("stale_after"))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile-mirror")
def mirror_cli() -> None:
    """Mirror a workspace to S3.

    `hydrate` restores the workspace before the agent starts, `sync` stores its changes until the
    pod ends. The other commands list, verify, restore, import and export snapshots, and delete
    unneeded objects. Every option can be set in the environment: --flush-seconds is
    $RECONCILE_MIRROR_FLUSH_SECONDS.
    """


@mirror_cli.command()
@mirror_options
@status_server_options
@click.option("--pod-uid", default="", help="UID of the pod that will write. Required.")
@click.option("--pod-name", default="", help="Name of the pod, shown in `log` and messages.")
@click.option("--record-uid", default="", help="UID of the session's Record, shown in the log.")
@click.option(
    "--partial",
    type=click.Choice(["use", "refuse"]),
    default="use",
    show_default=True,
    help="What to do if the last generation lacks files.",
)
@click.option(
    "--worker-process",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether a second process restores half of the files; auto: if there are many files.",
)
def hydrate(partial: str, worker_process: str, **options: Any) -> int:
    """Claim the workspace for this pod and restore it; run it before the agent starts."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.protocol import ClaimRequest
    from reconcile.mirror.restore.worker import WorkerPolicy
    from reconcile.mirror.sidecar.hydrate import PartialPolicy, run_hydrate

    request = ClaimRequest(*(options.pop(each) for each in ("pod_uid", "pod_name", "record_uid")))
    if not request.uid:
        raise SettingsError("--pod-uid is missing: give metadata.uid by the downward API")
    config, server_options = _build_config(options), _build_server_options(options)
    policy, worker_policy = PartialPolicy(partial), WorkerPolicy(worker_process)
    return run_hydrate(config, request, policy, server_options, worker_policy)


@mirror_cli.command()
@mirror_options
@status_server_options
@click.option("--once", is_flag=True, help="Run one pass and exit.")
@click.option(
    "--interval",
    type=SecondsRange(0.1),
    default=30.0,
    show_default=True,
    help="Seconds after which files that keep changing are stored; sooner when a burst ends.",
)
@click.option(
    "--max-files",
    type=click.IntRange(1),
    default=250_000,
    show_default=True,
    help="Maximum number of files, directories and links to store: limits memory.",
)
@click.option(
    "--flush-seconds",
    type=SecondsRange(1),
    default=25.0,
    show_default=True,
    help="Seconds for the last flush, counted from SIGTERM or from the runner's end.",
)
@click.option(
    "--runner-seconds",
    type=SecondsRange(0),
    default=0.0,
    show_default=True,
    help="Seconds for the runner to end, from SIGTERM or from `prestop`; 0: not known.",
)
@click.option(
    "--runner-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port on which the runner listens until it ends: for a pod without native sidecars.",
)
@click.option(
    "--runner-done",
    default="",
    help="File that is created when the runner has ended: for a pod without native sidecars.",
)
@click.option(
    "--termination-log",
    type=PATH_TYPE,
    default=Path("/dev/termination-log"),
    show_default=True,
    help="File for one line of JSON about the last flush.",
)
def sync(once: bool, **options: Any) -> int:  # noqa: FBT001 - click calls it by name
    """Store the changes of the workspace until the pod ends."""
    from reconcile.mirror.sidecar.sync import SyncProcess

    config = _build_config(options)
    config.check_outside("--termination-log", options["termination_log"])
    process = SyncProcess(config, _build_sync_options(options))
    return process.run_once() if once else process.run_until_terminated()


def _build_sync_options(options: dict[str, Any]) -> Any:
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.sidecar.loop import SyncSchedule
    from reconcile.mirror.sidecar.shutdown import ShutdownPlan
    from reconcile.mirror.sidecar.sync import SyncOptions
    from reconcile.mirror.sidecar.termination import (
        NoRunner,
        Runner,
        RunnerFile,
        RunnerPort,
        ShutdownTimeouts,
    )

    port, done = options["runner_port"], options["runner_done"]
    if port and done:
        raise SettingsError("--runner-port and --runner-done exclude each other")
    runner: Runner = RunnerPort(port) if port else NoRunner()
    if done:
        runner = RunnerFile(Path(done))
    timeouts = ShutdownTimeouts(options["runner_seconds"], options["flush_seconds"])
    return SyncOptions(
        SyncSchedule(interval=options["interval"]),
        ShutdownPlan(runner, timeouts),
        options["termination_log"],
        _build_server_options(options),
        options["max_files"],
    )


@mirror_cli.command()
@state_option
def prestop(state: Path) -> int:
    """Announce the shutdown to the running sync, which then syncs continuously until SIGTERM."""
    from reconcile.mirror.local_state import StateDirectory

    directory = StateDirectory(state)
    directory.write(directory.shutdown_path, b"")
    return MirrorExitCode.OK


@mirror_cli.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address on which the sync listens."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), required=True, help="Port on which it listens."
)
def status(host: str, port: int) -> int:
    """Show the status of a running sync, as JSON."""
    from reconcile.mirror.sidecar.http import fetch_status

    click.echo(fetch_status(host, port))
    return MirrorExitCode.OK


for _command in (*HISTORY_COMMANDS, *IMPORT_EXPORT_COMMANDS):
    mirror_cli.add_command(_command)


def main() -> None:
    """Run the program and exit."""
    prepare_standard_streams()
    exit_on_sigterm()
    code = run_mirror_cli(sys.argv[1:], read_process_settings())
    discard_unwritable_output()
    # A request that hangs must not keep the process running; everything is already committed.
    os._exit(code)


def run_mirror_cli(arguments: list[str], process_settings: ProcessSettings) -> int:
    """Run one command and return its exit code; never raises."""
    try:
        _reject_undecodable(arguments, "this argument")
        result = mirror_cli.main(
            arguments,
            prog_name="reconcile-mirror",
            standalone_mode=False,
            default_map=_read_defaults(process_settings),
        )
    except BaseException as error:  # noqa: BLE001 - every error must become an exit code
        return _handle_error(error)
    return result if isinstance(result, int) else MirrorExitCode.OK


def _read_defaults(process_settings: ProcessSettings) -> dict[str, dict[str, Any]]:
    """Return the defaults that the environment sets: values by option, by command."""
    defaults: dict[str, dict[str, Any]] = {}
    for name, command in mirror_cli.commands.items():
        for parameter in command.params:
            if not isinstance(parameter, click.Option) or not parameter.name:
                continue
            variable = env_variable_name(parameter)
            text = process_settings.environ.get(variable)
            if text is not None:
                _reject_undecodable([text], f"${variable}")
                value = text.splitlines() if parameter.multiple else text
                defaults.setdefault(name, {})[parameter.name] = value
    return defaults


def _reject_undecodable(texts: Iterable[str], name: str) -> None:
    """Refuse bytes that are not UTF-8: no name in a store, a cluster or a log can have them."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"{name} is not UTF-8: {text!r}") from None


def env_variable_name(option: click.Parameter) -> str:
    """Return the environment variable of an option."""
    flag = next(text for text in option.opts if text.startswith("--"))
    return _ENV_PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def _log_error(error: "MirrorError | OSError") -> MirrorExitCode:
    """Log the error that ended the program, and return its exit code."""
    from reconcile.mirror.exit_codes import exit_code_for_mirror_error
    from reconcile.runtime.clock import SystemClock
    from reconcile.runtime.logging import JsonLogger

    # An OSError is not a defect: the environment decides which files can be read and written.
    if isinstance(error, OSError):
        text, code = describe_os_error(error), MirrorExitCode.IO_ERROR
    else:
        text, code = str(error), exit_code_for_mirror_error(error)
    JsonLogger(SystemClock().time_ns).warning("failed", error=text, reason=type(error).__name__)
    return code


def _echo_error(text: str) -> None:
    """Print on standard error; without one, the exit code says what happened."""
    with suppress(OSError):
        click.echo(text, err=True)


def _handle_error(error: BaseException) -> int:
    """Print or log why the program ends, and return its exit code."""
    from reconcile.mirror.errors import MirrorError

    match error:
        case click.ClickException():
            with suppress(OSError):
                _escape_message(error).show()
            return MirrorExitCode.USAGE
        case MirrorError() | OSError():
            return _log_error(error)
        case SystemExit(code=int(code)):
            return code
        case TerminatedError():
            return MirrorExitCode.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return MirrorExitCode.INTERRUPTED
        case _:
            _echo_error("".join(traceback.format_exception(error)))
            _echo_error("Error: this is a defect of reconcile-mirror. Please report it.")
            return MirrorExitCode.BUG


def _escape_message(error: click.ClickException) -> click.ClickException:
    """Escape control characters of the arguments that the message repeats."""
    from reconcile.runtime.logging import escape_controls

    message = escape_controls(error.format_message())
    if isinstance(error, click.UsageError):
        return click.UsageError(message, error.ctx)
    return click.ClickException(message)
