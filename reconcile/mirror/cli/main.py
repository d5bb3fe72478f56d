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
from reconcile.mirror.cli.history import COMMANDS
from reconcile.mirror.cli.import_export import COMMANDS as MOVING
from reconcile.mirror.cli.options import FOLDER, door_options, side_options, state_option
from reconcile.mirror.exit_codes import Exit
from reconcile.runtime.process import TerminatedError, end_on_terminate
from reconcile.runtime.settings import Settings, settings

if TYPE_CHECKING:
    from reconcile.mirror.errors import MirrorError
    from reconcile.mirror.sidecar.status import Door
    from reconcile.mirror.wiring import Where

_ENVIRONMENT = "RECONCILE_MIRROR_"


def _where(options: dict[str, Any]) -> "Where":
    from reconcile.mirror.wiring import Where

    return Where(**{name: options.pop(name) for name in Where.__struct_fields__})


def _door_of(options: dict[str, Any]) -> "Door":
    from reconcile.mirror.sidecar.status import Door

    return Door(options.pop("host"), options.pop("port"), options.pop("stale_after"))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="reconcile-mirror")
def program() -> None:
    """Keep a workspace and its snapshot in S3 equal.

    `hydrate` restores it before the agent starts, `sync` keeps it until the pod ends. The other
    commands look at what is kept, bring it back, and take away what nothing needs. Every option can
    be given in the environment: --flush-seconds is $RECONCILE_MIRROR_FLUSH_SECONDS.
    """


@program.command()
@side_options
@door_options
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
    "--helper",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Whether a second process restores one half; auto: where there are many files.",
)
def hydrate(pod_uid: str, pod_name: str, partial: str, helper: str, **options: Any) -> int:
    """Claim the workspace for this pod and restore it; to be run before the agent starts."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.protocol import Claimant
    from reconcile.mirror.restore.worker import When
    from reconcile.mirror.sidecar.hydrate import PartialPolicy, run_hydrate

    if not pod_uid:
        raise SettingsError("--pod-uid is missing: give metadata.uid by the downward API")
    claimant = Claimant(pod_uid, pod_name)
    where, door = _where(options), _door_of(options)
    return run_hydrate(where, claimant, PartialPolicy(partial), door, When(helper))


@program.command()
@side_options
@door_options
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
    type=FOLDER,
    default=Path("/dev/termination-log"),
    show_default=True,
    help="Where to leave one line of JSON about the last flush.",
)
def sync(once: bool, **options: Any) -> int:  # noqa: FBT001 - click calls it by name
    """Store what changes in the workspace, until the pod ends."""
    from reconcile.mirror.sidecar.sync import SyncProcess

    process = SyncProcess(_where(options), _course(options))
    return process.once() if once else process.forever()


def _course(options: dict[str, Any]) -> Any:
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.sidecar.loop import Plan, Tempo
    from reconcile.mirror.sidecar.sync import Course
    from reconcile.mirror.sidecar.termination import NoRunner, Runner, RunnerFile, RunnerPort, Times

    port, done = options["runner_port"], options["runner_done"]
    if port and done:
        raise SettingsError("--runner-port and --runner-done exclude each other")
    runner: Runner = RunnerPort(port) if port else NoRunner()
    if done:
        runner = RunnerFile(Path(done))
    times = Times(options["runner_seconds"], options["flush_seconds"])
    tempo = Tempo(interval=options["interval"])
    plan, farewell, limit = Plan(runner, times), options["termination_log"], options["max_files"]
    return Course(tempo, plan, farewell, _door_of(options), limit)


@program.command()
@state_option
def prestop(state: Path) -> int:
    """Tell the running sync that the end is near: it syncs without rest until TERM."""
    from reconcile.mirror.local_state import StateDirectory

    directory = StateDirectory(state)
    directory.write(directory.ending, b"")
    return Exit.OK


@program.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the sync listens.")
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Its port.")
def status(host: str, port: int) -> int:
    """Show what a running sync says of itself, as JSON."""
    from reconcile.mirror.sidecar.http import ask_status

    click.echo(ask_status(host, port))
    return Exit.OK


for _command in (*COMMANDS, *MOVING):
    program.add_command(_command)


def main() -> None:
    """Run the program and exit."""
    end_on_terminate()
    code = run(sys.argv[1:], settings())
    sys.stdout.flush()
    sys.stderr.flush()
    # A request that hangs must not keep the process; all that counts has been written.
    os._exit(code)


def run(arguments: list[str], given: Settings) -> int:
    """Run one command and give its exit code; never raises."""
    try:
        result = program.main(
            arguments,
            prog_name="reconcile-mirror",
            standalone_mode=False,
            default_map=_defaults(given),
        )
    except BaseException as error:  # noqa: BLE001 - the funnel: nothing may end in a traceback
        return _ended(error)
    return result if isinstance(result, int) else Exit.OK


def _defaults(given: Settings) -> dict[str, dict[str, Any]]:
    """Return what the environment says of each option of each command."""
    found: dict[str, dict[str, Any]] = {}
    for name, command in program.commands.items():
        for parameter in command.params:
            if not isinstance(parameter, click.Option) or not parameter.name:
                continue
            said = given.environ.get(variable(parameter))
            if said is not None:
                value = said.splitlines() if parameter.multiple else said
                found.setdefault(name, {})[parameter.name] = value
    return found


def variable(option: click.Parameter) -> str:
    """Return the environment variable of an option."""
    flag = next(text for text in option.opts if text.startswith("--"))
    return _ENVIRONMENT + flag.removeprefix("--").replace("-", "_").upper()


def _complain(error: "MirrorError") -> Exit:
    """Log what ended the program."""
    from reconcile.mirror.exit_codes import exit_for
    from reconcile.runtime.clock import SystemClock
    from reconcile.runtime.logging import JsonJournal

    JsonJournal(SystemClock().time_ns).warn("failed", error=str(error), reason=type(error).__name__)
    return exit_for(error)


def _ended(error: BaseException) -> int:
    """Tell people why the program ends, and give its exit code."""
    from reconcile.mirror.errors import MirrorError

    match error:
        case click.ClickException():
            error.show()
            return Exit.USAGE
        case MirrorError():
            return _complain(error)
        case SystemExit(code=int(code)):
            return code
        case TerminatedError():
            return Exit.TERMINATED
        case click.Abort() | KeyboardInterrupt():
            return Exit.INTERRUPTED
        case _:
            click.echo("".join(traceback.format_exception(error)), err=True)
            click.echo("Error: this is a defect of reconcile-mirror. Please report it.", err=True)
            return Exit.BUG
