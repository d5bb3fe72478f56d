"""The mirror's HTTP server in the pod: liveness, readiness, status and metrics; and its client.

`docs/mirror.md` lists the metrics, and a test compares.
"""

import errno
import http.client
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from reconcile.mirror.clock import Clock
from reconcile.mirror.errors import SettingsError, WorkspaceError
from reconcile.mirror.sidecar.http_server import HttpResponse, HttpServer
from reconcile.mirror.sidecar.status import (
    StatusRegistry,
    StatusServerOptions,
    SyncStatus,
    assess_freshness,
)
from reconcile.runtime.logging import Logger, escape_controls

if TYPE_CHECKING:
    from prometheus_client import Metric

_STATUS_TIMEOUT = 5.0


def fetch_status(host: str, port: int) -> str:
    """Return the JSON of a running sync's /status; WorkspaceError where no sync answers.

    A program of the agent may listen on the port, so that any response is possible.
    """
    connection = http.client.HTTPConnection(host, port, timeout=_STATUS_TIMEOUT)
    try:
        connection.request("GET", "/status")
        status = orjson.loads(connection.getresponse().read(_MAX_STATUS))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise WorkspaceError(f"no sync answers on {host}:{port}: {error}") from None
    finally:
        connection.close()
    return escape_controls(orjson.dumps(status).decode())


_MAX_STATUS = 64 << 10
"""Bytes of the response of /status to read at most."""


GAUGES = {
    "reconcile_mirror_generation": "Number of the last committed generation.",
    "reconcile_mirror_partial": "1 if that generation lacks files.",
    "reconcile_mirror_fresh": "1 if the snapshot is fresh enough, as /readyz has it.",
    "reconcile_mirror_commit_timestamp_seconds": "When the snapshot was last equal, since 1970.",
    "reconcile_mirror_write_timestamp_seconds": "Last write to the workspace, since 1970.",
    "reconcile_mirror_behind_seconds": "For how long something is not committed; 0 if all is.",
    "reconcile_mirror_store_reachable": "1 if the store answered last time.",
    "reconcile_mirror_fenced": "1 if another pod has taken the workspace over.",
    "reconcile_mirror_entries": "Entries of the workspace in the last pass.",
    "reconcile_mirror_changing_files": "Files that changed while they were read, last time.",
    "reconcile_mirror_unreadable_files": "Files that could not be read, last time.",
    "reconcile_mirror_skipped_entries": "Entries that a snapshot cannot hold, last time.",
    "reconcile_mirror_over_limit_entries": "Entries beyond --max-files, at least; not stored.",
    "reconcile_mirror_pass_seconds": "How long the last pass took.",
}
COUNTERS = {
    "reconcile_mirror_passes": "Passes, failed ones included.",
    "reconcile_mirror_failures": "Passes that failed.",
    "reconcile_mirror_commits": "Generations that this process has committed.",
    "reconcile_mirror_sent_bytes": "Bytes of packs and blobs that were stored.",
    "reconcile_mirror_restored_bytes": "Bytes that hydrate has restored.",
    "reconcile_mirror_restored_files": "Files that hydrate has written.",
    "reconcile_mirror_throttled_seconds": "Seconds that requests waited for --bandwidth, in total.",
}


def build_metric_values(status: SyncStatus, now: int, stale_after: float) -> dict[str, float]:
    """Return each metric's value by name."""
    behind = (now - status.behind_since) / 1e9 if status.behind_since else 0.0
    return {
        "reconcile_mirror_generation": status.generation,
        "reconcile_mirror_partial": status.partial,
        "reconcile_mirror_fresh": assess_freshness(status, now, stale_after).is_fresh,
        "reconcile_mirror_commit_timestamp_seconds": status.committed / 1e9,
        "reconcile_mirror_write_timestamp_seconds": status.written / 1e9,
        "reconcile_mirror_behind_seconds": behind,
        "reconcile_mirror_store_reachable": status.reachable,
        "reconcile_mirror_fenced": status.phase == "fenced",
        "reconcile_mirror_entries": status.files,
        "reconcile_mirror_changing_files": status.changing,
        "reconcile_mirror_unreadable_files": status.unreadable,
        "reconcile_mirror_skipped_entries": status.skipped,
        "reconcile_mirror_over_limit_entries": status.over_limit,
        "reconcile_mirror_pass_seconds": status.seconds,
        "reconcile_mirror_passes": status.passes,
        "reconcile_mirror_failures": status.failures,
        "reconcile_mirror_commits": status.commits,
        "reconcile_mirror_sent_bytes": status.sent,
        "reconcile_mirror_restored_bytes": status.restored,
        "reconcile_mirror_restored_files": status.restored_files,
        "reconcile_mirror_throttled_seconds": status.throttled,
    }


class StatusCollector:
    """Gives metric values to prometheus-client."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = values

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
        )

        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(name, meaning, value=self._values[name])
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(name, meaning, value=self._values[name])


def render_metrics(values: Mapping[str, float]) -> bytes:
    """Write all metrics in Prometheus' text format."""
    from prometheus_client import (
        CollectorRegistry,
        generate_latest,
    )

    registry = CollectorRegistry()
    registry.register(StatusCollector(values))
    return generate_latest(registry)


_RETRY_INTERVAL = 5.0
"""Seconds until the server tries again to listen on an address that is in use."""

_TEXT_TYPE = "text/plain; charset=utf-8"
_JSON_TYPE = "application/json"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class StatusEndpoints:
    """Maps a path to a response; does no I/O."""

    def __init__(self, registry: StatusRegistry, clock: Clock, stale_after: float) -> None:
        self._registry = registry
        self._clock = clock
        self._stale_after = stale_after

    def respond(self, path: str) -> HttpResponse:
        """Return the response to a GET."""
        match path.partition("?")[0]:
            case "/healthz":
                return HttpResponse(200, _TEXT_TYPE, b"ok\n")
            case "/readyz":
                status = self.build_status()
                code = 200 if status["fresh"] else 503
                return HttpResponse(code, _JSON_TYPE, _encode_json_line(status))
            case "/status":
                return HttpResponse(200, _JSON_TYPE, _encode_json_line(self.build_status()))
            case "/metrics":
                return HttpResponse(200, _METRICS_TYPE, render_metrics(self._metric_values()))
            case _:
                paths = b"there are /healthz, /readyz, /status and /metrics\n"
                return HttpResponse(404, _TEXT_TYPE, paths)

    def build_status(self) -> dict[str, Any]:
        """Return the document of /status: all that the reconciler needs to know."""
        status = self._registry.current
        freshness = assess_freshness(status, self._clock.steady_ns(), self._stale_after)
        return {
            "phase": status.phase,
            "fresh": freshness.is_fresh,
            "generation": status.generation,
            "partial": status.partial,
            "commitAgeSeconds": freshness.commit_age,
            "writeAgeSeconds": freshness.write_age,
            "storeReachable": status.reachable,
            "error": status.error or None,
            "changingFiles": status.changing,
            "unreadableFiles": status.unreadable,
            "skippedEntries": status.skipped,
            "overLimitEntries": status.over_limit,
        }

    def _metric_values(self) -> dict[str, float]:
        return build_metric_values(
            self._registry.current, self._clock.steady_ns(), self._stale_after
        )


def _encode_json_line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


_WRONG_SETTING = {errno.EACCES, errno.EPERM, errno.EAFNOSUPPORT}
_WRONG_NAME = {socket.EAI_NONAME, socket.EAI_FAMILY}


def _is_wrong_setting(error: OSError) -> bool:
    """Whether the address will not become free or valid later."""
    wrong = _WRONG_NAME if isinstance(error, socket.gaierror) else _WRONG_SETTING
    return error.errno in wrong


def start_status_server(
    options: StatusServerOptions, registry: StatusRegistry, clock: Clock, logger: Logger
) -> None:
    """Serve the status from now on, or later: another process of the pod may use the address.

    Raises:
        SettingsError: The address can never be listened on.
    """
    endpoints = StatusEndpoints(registry, clock, options.stale_after)
    address = options.host, options.port

    def serve_later() -> None:
        while True:
            clock.sleep(_RETRY_INTERVAL)
            try:
                HttpServer(address, endpoints.respond)
            except OSError:
                continue
            logger.info("status server is available", port=options.port)
            return

    try:
        HttpServer(address, endpoints.respond)
    except OSError as error:
        text = f"cannot listen on {options.host} port {options.port}: {error.strerror}"
        if _is_wrong_setting(error):
            raise SettingsError(f"{text}; correct --host or --port") from error
        logger.warning("status server is not available", error=text)
        threading.Thread(target=serve_later, name="status-retry", daemon=True).start()
