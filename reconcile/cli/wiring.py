"""Connects adapters to the engine's ports, as the options say, and computes the plan.

The commands share these steps from options to desired state, cluster, plan and report.
"""

from dataclasses import replace
from pathlib import Path

import click

import reconcile
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.options import MAX_CONCURRENCY, Connection, SourceOptions
from reconcile.cli.terminal import Terminal
from reconcile.core.errors import Problem, SourceError
from reconcile.core.model import DesiredState
from reconcile.core.plan.approval import compute_plan_digest
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import LiveCluster, PlanReport
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Clock, Cluster
from reconcile.engine.reconciler import PassPlan, Reconciler, ReconcilerOptions
from reconcile.engine.retry import RetryBackoff, RetryingCluster
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.git import find_tracked_link
from reconcile.runtime.settings import build_child_environ, read_process_settings

_EMBEDDED_PREFIX = "embedded:"


def load_desired(source: SourceOptions, terminal: Terminal) -> DesiredState:
    """Read and build desired state; SourceError where the folder cannot be read.

    Afterwards the terminal also masks by the patterns of the policy, and all declared secrets.
    """
    folders = [find_shipped_templates(), *([source.templates] if source.templates else [])]
    builder = DesiredBuilder(read_templates(*folders))
    terminal.learn_later(builder.iter_declared)
    desired = builder.build(DirectorySource(source.tree).read())
    terminal.use_masks(desired.policy.mask)
    terminal.installation = desired.policy.installation
    return desired


def find_shipped_templates() -> Path:
    """Find the built-in templates: in the installed package, or next to it in a checkout."""
    package = Path(reconcile.__file__).parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


def open_cluster(connection: Connection, terminal: Terminal, clock: Clock) -> Cluster:
    """Open the cluster that the options name; requests are retried.

    The client library is imported here, since half of the commands need no cluster.
    """
    if connection.cluster:
        return _open_embedded(connection)
    from reconcile.adapters.kube.connect import ConnectOptions, connect  # noqa: PLC0415

    options = ConnectOptions(
        terminal.settings.environ, mask=terminal.mask, max_connections=MAX_CONCURRENCY
    )
    cluster = connect(connection.kubeconfig or None, connection.context or None, options)
    return RetryingCluster(cluster, clock, RetryBackoff())


def _open_embedded(connection: Connection) -> Cluster:
    if connection.kubeconfig or connection.context:
        raise click.UsageError("--cluster cannot be used with --kubeconfig or --context")
    if (
        not connection.cluster.startswith(_EMBEDDED_PREFIX)
        or connection.cluster == _EMBEDDED_PREFIX
    ):
        raise click.UsageError(
            f"--cluster must be `{_EMBEDDED_PREFIX}FILE`, not `{connection.cluster}`"
        )
    from reconcile.adapters.embedded.cluster import EmbeddedCluster  # noqa: PLC0415

    path = Path(connection.cluster.removeprefix(_EMBEDDED_PREFIX))
    link = find_tracked_link(path, build_child_environ(read_process_settings().environ))
    if link is not None:
        raise SourceError(f"{path}: {link} is a link in a git work tree: name another file")
    return EmbeddedCluster(path)


def build_reconciler(
    connection: Connection, terminal: Terminal, options: ReconcilerOptions
) -> Reconciler:
    """Open the cluster that the options name, and make a reconciler for it."""
    clock = SystemClock()
    return Reconciler(open_cluster(connection, terminal, clock), clock, options)


def compute_plan(reconciler: Reconciler, source: SourceOptions, terminal: Terminal) -> PassPlan:
    """Read desired and live state, and compute the plan."""
    return reconciler.plan(load_desired(source, terminal), {})


def build_plan_report(planned: PassPlan, source: SourceOptions) -> PlanReport:
    """Build the report of a plan for a live cluster."""
    return PlanReport(
        plan=planned.plan,
        digest=compute_plan_digest(planned.plan, planned.desired),
        findings=collect_findings(planned),
        baseline=LiveCluster(),
        folder=source.tree.as_posix(),
    )


def add_dry_run(reconciler: Reconciler, planned: PassPlan, report: PlanReport) -> PlanReport:
    """Add the result of a server-side dry run to a report, and the problems of that run."""
    result = reconciler.dry_run(planned)
    findings = replace(report.findings, problems=(*report.findings.problems, *result.problems))
    return replace(report, findings=findings, admission=result.admission)


def collect_findings(planned: PassPlan, failures: tuple[Problem, ...] = ()) -> Findings:
    """Collect the problems of files and cluster, and the failures of the pass."""
    problems = (*planned.desired.problems, *planned.problems, *failures)
    return Findings(problems, (*planned.desired.warnings, *planned.warnings))
