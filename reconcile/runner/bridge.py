"""The sidecar that connects the platform's runner to its session, and ends when the session ends.

It listens on loopback for the runner and on the pod's address for probes, does runs, delivers the
prompt, applies changed inputs, and decides when the session has ended. That end is remembered for
the pod: a native sidecar that is started again ends again, with the same message.
"""

import asyncio
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from reconcile.runner.api import (
    ApiOptions,
    Readiness,
    build_loopback_app,
    build_pod_app,
    build_single_app,
)
from reconcile.runner.changes import ChangeApplier, ChangeOptions
from reconcile.runner.client import RunnerClient, RunnerError
from reconcile.runner.credentials import CredentialAnswer, Credentials, answer_request
from reconcile.runner.delivery import Delivery, DeliveryOptions
from reconcile.runner.endings import Ending, EndingOptions, Endings
from reconcile.runner.event_log import EventLog
from reconcile.runner.masking import Masker, MaskingLogger
from reconcile.runner.metrics import Metrics
from reconcile.runner.pod import (
    PodError,
    has_run,
    read_end,
    read_pod_uid,
    record_run,
    write_end,
    write_message,
)
from reconcile.runner.prompt_file import PromptFile
from reconcile.runner.runs import Runs, RunsOptions
from reconcile.runner.server import LOOPBACK, Application, ListenError, is_loopback, listen, serve
from reconcile.runner.session_dir import SessionDir
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.logging import JsonLogger, Logger

TERMINATED: Final = 143
INTERRUPTED: Final = 130
FAILED: Final = 1

_LONGEST_MESSAGE: Final = 1000
_PRESTOP_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 2.0
"""Between two looks at the inputs and at what ends a session: each costs some time when idle."""
_INTERRUPT_AGAIN_SECONDS: Final = 0.3
_LAST_FLUSH_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 1.0
_LOOPBACK_CONNECTIONS: Final = 64
_POD_CONNECTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """All settings; seconds may be fractions.

    Attributes:
        workspace: The session's workspace.
        inputs: The mounted inputs ConfigMap.
        state_dir: The runner's state directory below the workspace.
        state: A folder that lives as long as the pod.
        credentials: The declared credentials.
        allowed_hosts: Patterns of hosts of repositories; all if there are none.
        ca_file: A file of further authorities for git, if any.
        allow_file_urls: Whether `file:` URLs are cloned, which tests need.
        termination_log: Where the last message is written.
        namespace: The session's namespace.
        session: Its name, the thread of all runs.
        host: The pod's address.
        port: The bridge's port on that address and on loopback.
        runner_port: The runner's port on loopback.
        pod_info: The downward API volume with the pod's UID.
        mirror_port: The mirror's port on the pod's address; 0 if there is no mirror.
        inactivity_seconds: How long nothing may happen; 0 for any time.
        stop_on_run_finished: Whether a run that ended well ends the session.
        on_interrupted_run: What follows a run that was under way when its pod ended.
        start_seconds: How long the runner may take to start, while its image is pulled.
        delivery_seconds: How long the delivery of a prompt may fail after that.
        silent_seconds: After which time a run that says nothing is reported.
        quiet_seconds: How long nothing must happen after a run for the session to be finished.
    """

    namespace: str
    session: str
    workspace: Path = Path("/workspace")
    inputs: Path = Path("/etc/session")
    state_dir: str = ".claude"
    state: Path = Path("/var/lib/reconcile-runner")
    credentials: Credentials = field(default_factory=lambda: Credentials(Path("/etc/credentials")))
    allowed_hosts: tuple[str, ...] = ()
    ca_file: Path | None = None
    allow_file_urls: bool = False
    termination_log: Path = Path("/dev/termination-log")
    host: str = LOOPBACK
    port: int = 8095
    runner_port: int = 8001
    pod_info: Path = Path("/etc/podinfo")
    mirror_port: int = 0
    inactivity_seconds: float = 0.0
    stop_on_run_finished: bool = False
    on_interrupted_run: Literal["Wait", "Continue"] = "Wait"
    start_seconds: float = 3600.0
    delivery_seconds: float = 300.0
    silent_seconds: float = 120.0
    quiet_seconds: float = 10.0


def run_bridge(settings: BridgeSettings) -> int:
    """Run until SIGTERM, or until the session has ended; returns the exit code."""
    masker = Masker(settings.credentials.list_secrets())
    logger = MaskingLogger(JsonLogger(SystemClock().time_ns), masker)
    try:
        pod_uid = read_pod_uid(settings.pod_info)
        end = read_end(settings.state, pod_uid)
        if end is None:
            before = has_run(settings.state, pod_uid)
            return _run_loop(_Context(settings, pod_uid, before, masker, logger))
    except (PodError, ListenError) as error:
        logger.warning("failed", error=str(error))
        write_message(settings.termination_log, {"error": masker.mask(str(error))})
        return FAILED
    logger.info("the session has ended before", reason=str(end.get("ended")))
    write_message(settings.termination_log, end)
    return 0


@dataclass(frozen=True, slots=True)
class _Context:
    settings: BridgeSettings
    pod_uid: str
    has_run: bool
    masker: Masker
    logger: Logger


def _run_loop(context: _Context) -> int:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_run(context))
    finally:
        # A thread that waits for a disk or the mirror is not waited for.
        loop.close()


async def _run(context: _Context) -> int:
    """Run in an event loop; on SIGTERM the open run is ended, which takes 2 s at most.

    A plain sidecar gets SIGTERM when its runner's `preStop` begins: without a reader and an
    interrupt the runner would then wait for its turn.
    """
    loop = asyncio.get_running_loop()
    signalled: asyncio.Future[int] = loop.create_future()
    for number, code in ((signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)):
        loop.add_signal_handler(number, _set_once, signalled, code)
    bridge = Bridge(context)
    ended = asyncio.ensure_future(bridge.run())
    try:
        await asyncio.wait({signalled, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            return ended.result()
        await bridge.prepare_stop()
        return signalled.result()
    finally:
        ended.cancel()
        await asyncio.wait({ended}, timeout=_LAST_SECONDS)
        await _cancel_others()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_LAST_SECONDS)


def _set_once(future: "asyncio.Future[int]", code: int) -> None:
    if not future.done():
        future.set_result(code)


class Bridge:
    """All parts of the bridge in one event loop."""

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._settings = context.settings
        self._logger = context.logger
        self._metrics = Metrics(self._read_gauges)
        self._folder = SessionDir(self._settings.workspace)
        self._client = self._build_client()
        self._events = self._build_events()
        self._runs = self._build_runs()
        self._delivery = self._build_delivery()
        self._endings = self._build_endings()
        self._changes = self._build_changes()
        self._doing_runs: asyncio.Task[None] | None = None
        self._applying_changes: asyncio.Task[None] | None = None

    async def run(self) -> int:
        """Run until the session has ended; returns the exit code.

        Raises:
            ListenError: A port cannot be listened on.
        """
        servers = self._list_servers()
        listeners = [listen(address, self._settings.port) for address, _, _ in servers]
        if self._context.has_run:
            # The runner goes on with a run whose events are not read any more, and when that ends
            # cannot be known: a change would cut it off.
            with suppress(RunnerError):
                await self._client.interrupt()
        try:
            async with asyncio.TaskGroup() as group:
                self._doing_runs = group.create_task(self._runs.run())
                self._applying_changes = group.create_task(self._changes.run())
                delivering = group.create_task(self._delivery.run())
                tasks = [self._doing_runs, self._applying_changes, delivering]
                for listener, (_, app, most) in zip(listeners, servers, strict=True):
                    tasks.append(group.create_task(serve(listener, app, most)))
                self._logger.info("bridge started", port=self._settings.port)
                ending = await self._endings.wait_for_end()
                self._remember(ending)
                for task in tasks:
                    task.cancel()
                return ending.exit_code
        finally:
            await self._close()

    def _list_servers(self) -> list[tuple[str, Application, int]]:
        options, settings = self._build_api_options(), self._settings
        parts = options, self._runs, self._delivery, self._metrics
        if is_loopback(settings.host):
            return [(settings.host, build_single_app(*parts), _LOOPBACK_CONNECTIONS)]
        return [
            (LOOPBACK, build_loopback_app(*parts), _LOOPBACK_CONNECTIONS),
            (settings.host, build_pod_app(options, self._metrics), _POD_CONNECTIONS),
        ]

    async def _close(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_FLUSH_SECONDS):
                await self._events.flush()
                await self._client.close()

    async def prepare_stop(self) -> bool:
        """Interrupt the open run and read it to its end; returns whether no run is open.

        A run that is still open after 2 s loses its reader: the runner then ends sooner.
        """
        self._delivery.stop()
        if self._applying_changes is not None:
            self._applying_changes.cancel()
        self._runs.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PRESTOP_SECONDS):
                await self._interrupt_until_idle()
        is_idle = not self._runs.has_open_run
        if not is_idle and self._doing_runs is not None:
            self._doing_runs.cancel()
        self._logger.info("the pod is ending", idle=is_idle)
        return is_idle

    async def _interrupt_until_idle(self) -> None:
        """Interrupt again until it has an effect: a run that has just begun cannot be yet."""
        while self._runs.has_open_run:
            await self._runs.interrupt()
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERRUPT_AGAIN_SECONDS):
                    await self._runs.wait_idle()

    def _assess(self) -> Readiness:
        if not self._delivery.is_delivered:
            return Readiness(False, self._delivery.failure or "the prompt is not delivered yet")  # noqa: FBT003
        if self._runs.state.is_silent:
            seconds = self._settings.silent_seconds
            return Readiness(True, f"the open run has said nothing for {seconds:g} s")  # noqa: FBT003
        return Readiness(True)  # noqa: FBT003

    def _answer_credential(self, provider: str) -> CredentialAnswer:
        # From now on the agent may say it.
        self._context.masker.learn(self._settings.credentials.list_secrets())
        return answer_request(self._settings.credentials, provider)

    def _read_gauges(self) -> dict[str, float]:
        state = self._runs.state
        values = {
            "open_runs": state.open,
            "queued_runs": state.queued,
            "silent": state.is_silent,
            "prompt_delivered": self._delivery.is_delivered,
            "last_event_age_seconds": time.monotonic() - state.last_event,
        }
        return {f"reconcile_bridge_{name}": float(value) for name, value in values.items()}

    def _remember(self, ending: Ending) -> None:
        state = self._runs.state
        message = {
            "ended": ending.reason,
            "message": self._context.masker.mask(ending.message)[:_LONGEST_MESSAGE],
            "runs": {"finished": state.finished, "failed": state.failed},
        }
        self._logger.info("the session has ended", reason=ending.reason, message=ending.message)
        write_end(self._settings.state, self._context.pod_uid, message)
        write_message(self._settings.termination_log, message)

    def _build_client(self) -> RunnerClient:
        settings = self._settings
        return RunnerClient(
            settings.runner_port,
            self._context.pod_uid,
            settings.session,
            lambda reason: self._metrics.count("skipped_events", reason),
        )

    def _build_events(self) -> EventLog:
        return EventLog(
            self._folder,
            self._context.masker.mask,
            self._logger,
            lambda reason, number: self._metrics.count("dropped_log_events", reason, number),
        )

    def _build_runs(self) -> Runs:
        options = RunsOptions(
            logger=self._logger,
            events=self._events,
            metrics=self._metrics,
            silent_seconds=self._settings.silent_seconds,
            has_run=self._context.has_run,
            record_run=lambda: record_run(self._settings.state, self._context.pod_uid),
            mask=self._context.masker.mask,
        )
        return Runs(self._client, options)

    def _build_delivery(self) -> Delivery:
        settings = self._settings
        options = DeliveryOptions(
            session=settings.session,
            pod_uid=self._context.pod_uid,
            inputs=settings.inputs,
            workspace=settings.workspace,
            on_interrupted=settings.on_interrupted_run,
            seconds=settings.delivery_seconds,
            start_seconds=settings.start_seconds,
        )
        clients = self._client, self._runs
        marks = PromptFile(self._folder)
        return Delivery(clients, marks, options, self._logger, self._metrics)

    def _build_changes(self) -> ChangeApplier:
        settings = self._settings
        options = ChangeOptions(
            logger=self._logger,
            mask=self._context.masker.mask,
            inputs=settings.inputs,
            workspace=settings.workspace,
            state=settings.state,
            pod_uid=self._context.pod_uid,
            credentials=settings.credentials,
            allowed_hosts=settings.allowed_hosts,
            ca_file=settings.ca_file,
            allow_files=settings.allow_file_urls,
            poll_seconds=_POLL_SECONDS,
        )
        return ChangeApplier(options, self._client, self._runs, self._delivery.deliver)

    def _build_endings(self) -> Endings:
        settings = self._settings
        options = EndingOptions(
            logger=self._logger,
            state=settings.state,
            pod_uid=self._context.pod_uid,
            host=settings.host,
            mirror_port=settings.mirror_port,
            runner_port=settings.runner_port,
            inactivity_seconds=settings.inactivity_seconds,
            stop_on_run_finished=settings.stop_on_run_finished,
            quiet_seconds=settings.quiet_seconds,
            poll_seconds=_POLL_SECONDS,
        )
        return Endings(options, self._runs, self._delivery)

    def _build_api_options(self) -> ApiOptions:
        return ApiOptions(
            namespace=self._settings.namespace,
            session=self._settings.session,
            answer_credential=self._answer_credential,
            prepare_stop=self.prepare_stop,
            assess=self._assess,
            is_runner_healthy=self._client.is_healthy,
        )
