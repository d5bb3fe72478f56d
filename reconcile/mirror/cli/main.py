"""The program `reconcile-mirror`: its commands, and the one funnel from errors to exit codes.

Commands import what they need when they run: a pass that has nothing to do must be quick.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile import __version__
from reconcile.mirror.cli.history import HISTORY_COMMANDS
from reconcile.mirror.cli.import_export import IMPORT_EXPORT_COMMANDS as MOVING
from reconcile.mirror.cli.options import (
    PATH_TYPE,
    mirror_options,
    state_option,
    status_server_options,
)
from reconcile.mirror.exit_codes import MirrorExitCode
from reconcile.runtime.process import TerminatedError, exit_on_sigterm
from reconcile.runtime.settings import ProcessSettings, read_process_settings

if TYPE_CHECKING:
    from reconcile.mirror.errors import MirrorError
    from reconcile.mirror.sidecar.status import StatusServerOptions
    from reconcile.mirror.wiring import MirrorConfig

_ENV_PREFIX = "RECONCILE_MIRROR_"


def _build_config(options: dict[str, Any]) -> "MirrorConfig":
    from reconcile.mirror.wiring import MirrorConfig

    return MirrorConfig(**{name: options.pop(name) for name in MirrorConfig.__struct_fields__})


def _build_server_options(options: dict[str, Any]) -> "StatusServerOptions":
    from reconcile.mirror.sidecar.status import StatusServerOptions

    return StatusServerOptions(options.pop("host"), options.pop("port"), options.pop("stale_after"))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile-mirror")
def mirror_cli() -> None:
    """Keep a workspace and its snapshot in S3 equal.

    `hydrate` restores it before the agent starts, `sync` keeps it until the pod ends. The other
    commands look at what is kept, bring it back, and take away what nothing needs. Every option can
    be given in the environment: --flush-seconds is $RECONCILE_MIRROR_FLUSH_SECONDS.
    """


@mirror_cli.command()
@mirror_options
@status_server_options
@click.option("--pod-uid", default="", help="The pod's UID: who may write. Must be given.")
@click.option("--pod-name", default="", help="The pod's name, for people.")
@click.option(
    "--partial",
    type=click.Choice(["use", "refuse"]),
    default="use",
    show_default=True,
    help="Whether to go on from a last generation that lacks files.",
)
@click.option(
    "--worker-process",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether a second process restores one half; auto: where there are many files.",
)
def hydrate(pod_uid: str, pod_name: str, partial: str, worker_process: str, **options: Any) -> int:
    """Claim the workspace for this pod and restore it; to be run before the agent starts."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.protocol import ClaimRequest
    from reconcile.mirror.restore.worker import WorkerPolicy
    from reconcile.mirror.sidecar.hydrate import PartialPolicy, run_hydrate

    if not pod_uid:
        raise SettingsError("--pod-uid is missing: give metadata.uid by the downward API")
    claimant = ClaimRequest(pod_uid, pod_name)
    where, door = _build_config(options), _build_server_options(options)
    return run_hydrate(where, claimant, PartialPolicy(partial), door, WorkerPolicy(worker_process))


@mirror_cli.command()
@mirror_options
@status_server_options
@click.option("--once", is_flag=True, help="Make one pass and end.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    default=30.0,
    show_default=True,
    help="Seconds after which what keeps changing is stored; sooner when a burst ends.",
)
@click.option(
    "--max-files",
    type=click.IntRange(1),
    default=250_000,
    show_default=True,
    help="How many files, directories and links are stored at most: memory.",
)
@click.option(
    "--flush-seconds",
    type=click.FloatRange(1),
    default=25.0,
    show_default=True,
    help="Seconds for the last flush, from TERM or from the runner's end.",
)
@click.option(
    "--runner-seconds",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds from TERM in which the runner may end, if it is waited for.",
)
@click.option(
    "--runner-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The runner listens on this port until it ends: for a pod without native sidecars.",
)
@click.option(
    "--runner-done",
    default="",
    help="This file is made when the runner has ended: for a pod without native sidecars.",
)
@click.option(
    "--termination-log",
    type=PATH_TYPE,
    default=Path("/dev/termination-log"),
    show_default=True,
    help="Where to leave one line of JSON about the last flush.",
)
def sync(once: bool, **options: Any) -> int:  # noqa: FBT001 - click calls it by name
    """Store what changes in the workspace, until the pod ends."""
    from reconcile.mirror.sidecar.sync import SyncProcess

    process = SyncProcess(_build_config(options), _build_sync_options(options))
    return process.run_once() if once else process.run_until_terminated()


def _build_sync_options(options: dict[str, Any]) -> Any:
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.sidecar.loop import ShutdownPlan, SyncSchedule
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
    times = ShutdownTimeouts(options["runner_seconds"], options["flush_seconds"])
    tempo = SyncSchedule(interval=options["interval"])
    plan, farewell, limit = (
        ShutdownPlan(runner, times),
        options["termination_log"],
        options["max_files"],
    )
    return SyncOptions(tempo, plan, farewell, _build_server_options(options), limit)


@mirror_cli.command()
@state_option
def prestop(state: Path) -> int:
    """Tell the running sync that the end is near: it syncs without rest until TERM."""
    from reconcile.mirror.local_state import StateDirectory

    directory = StateDirectory(state)
    directory.write(directory.shutdown_path, b"")
    return MirrorExitCode.OK


@mirror_cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the sync listens.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Its port.")
def status(host: str, port: int) -> int:
    """Show what a running sync says of itself, as JSON."""
    from reconcile.mirror.sidecar.http import fetch_status

    click.echo(fetch_status(host, port))
    return MirrorExitCode.OK


for _command in (*HISTORY_COMMANDS, *MOVING):
    mirror_cli.add_command(_command)


def main() -> None:
    """Run the program and exit."""
    exit_on_sigterm()
    code = run_mirror_cli(sys.argv[1:], read_process_settings())
    sys.stdout.flush()
    sys.stderr.flush()
    # A request that hangs must not keep the process; all that counts has been written.
    os._exit(code)


def run_mirror_cli(arguments: list[str], process_settings: ProcessSettings) -> int:
    """Run one command and give its exit code; never raises."""
    try:
        result = mirror_cli.main(
            arguments,
            prog_name="reconcile-mirror",
            standalone_mode=False,
            default_map=_read_defaults(process_settings),
        )
    except BaseException as error:  # noqa: BLE001 - the funnel: nothing may end in a traceback
        return _handle_error(error)
    return result if isinstance(result, int) else MirrorExitCode.OK


def _read_defaults(process_settings: ProcessSettings) -> dict[str, dict[str, Any]]:
    """Return what the environment says of each option of each command."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in mirror_cli.commands.items():
        for parameter in command.params:
            if not isinstance(parameter, click.Option) or not parameter.name:
                continue
            said = process_settings.environ.get(env_variable_name(parameter))
            if said is not None:
                value = said.splitlines() if parameter.multiple else said
                found.setdefault(name, {})[parameter.name] = value
    return found


def env_variable_name(option: click.Parameter) -> str:
    """Return the environment variable of an option."""
    flag = next(text for text in option.opts if text.startswith("--"))
    return _ENV_PREFIX + flag.removeprefix("--").replace("-", "_").upper()


def _log_error(error: "MirrorError") -> MirrorExitCode:
    """Log what ended the program."""
    from reconcile.mirror.exit_codes import exit_code_for_mirror_error
    from reconcile.runtime.clock import SystemClock
    from reconcile.runtime.logging import JsonLogger

    JsonLogger(SystemClock().time_ns).warning(
        "failed", error=str(error), reason=type(error).__name__
    )
    return exit_code_for_mirror_error(error)


def _handle_error(error: BaseException) -> int:
    """Tell people why the program ends, and give its exit code."""
    from reconcile.mirror.errors import MirrorError

    match error:
        case click.ClickException():
            error.show()
            return MirrorExitCode.USAGE
        case MirrorError():
            return _log_error(error)
        case SystemExit(code=int(code)):
            return code
        case TerminatedError():
            return MirrorExitCode.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return MirrorExitCode.INTERRUPTED
        case _:
            click.echo("".join(traceback.format_exception(error)), err=True)
            click.echo("Error: this is a defect of reconcile-mirror. Please report it.", err=True)
            return MirrorExitCode.BUG
