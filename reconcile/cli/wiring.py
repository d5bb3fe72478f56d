"""Puts adapters behind the engine's ports, as the options say.

What `diff` and `apply` have in common: from options to a plan, and to its report.
"""

from dataclasses import replace
from pathlib import Path

import click

import reconcile
from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.cli.options import MAX_CONCURRENCY, Connection, Desire
from reconcile.cli.terminal import Terminal
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import Desired
from reconcile.core.plan.approval import plan_digest
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import LiveCluster, PlanReport
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Clock, Cluster
from reconcile.engine.reconciler import Options, Planned, Reconciler
from reconcile.engine.retry import Backoff, RetryingCluster
from reconcile.runtime.clock import SystemClock

_EMBEDDED = "embedded:"


def desired_state(desire: Desire, terminal: Terminal) -> Desired:
    """Read and build desired state; SourceError where there is none.

    From here on the terminal masks by the policy's patterns too.
    """
    folders = [shipped_templates(), *([desire.templates] if desire.templates else [])]
    builder = DesiredBuilder(read_templates(*folders))
    desired = builder.build(DirectorySource(desire.tree).read())
    terminal.masker = Masker(desired.policy.mask)
    terminal.installation = desired.policy.installation
    return desired


def shipped_templates() -> Path:
    """Find the templates: inside an installed package, or beside it in a checkout."""
    package = Path(reconcile.__file__).parent
    installed = package / "_templates"
    return installed if installed.is_dir() else package.parent / "templates"


def cluster_of(connection: Connection, terminal: Terminal, clock: Clock) -> Cluster:
    """Open the cluster that the options name, with retries around it.

    Its library is loaded only now: half of all commands need no cluster.
    """
    if connection.cluster:
        return _embedded(connection)
    from reconcile.adapters.kube.connect import Options, connect  # noqa: PLC0415

    options = Options(terminal.settings.environ, mask=terminal.mask, connections=MAX_CONCURRENCY)
    cluster = connect(connection.kubeconfig or None, connection.context or None, options)
    return RetryingCluster(cluster, clock, Backoff())


def _embedded(connection: Connection) -> Cluster:
    if connection.kubeconfig or connection.context:
        raise click.UsageError("--cluster goes without --kubeconfig and --context")
    if not connection.cluster.startswith(_EMBEDDED) or connection.cluster == _EMBEDDED:
        raise click.UsageError(f"--cluster takes `{_EMBEDDED}FILE`, not `{connection.cluster}`")
    from reconcile.adapters.embedded.cluster import EmbeddedCluster  # noqa: PLC0415

    return EmbeddedCluster(Path(connection.cluster.removeprefix(_EMBEDDED)))


def reconciler_of(connection: Connection, terminal: Terminal, options: Options) -> Reconciler:
    """Open the cluster that the options name, and put a reconciler before it."""
    clock = SystemClock()
    return Reconciler(cluster_of(connection, terminal, clock), clock, options)


def plan_of(reconciler: Reconciler, desire: Desire, terminal: Terminal) -> Planned:
    """Read desired and live state, and decide."""
    return reconciler.plan(desired_state(desire, terminal), {})


def report_of(planned: Planned, desire: Desire) -> PlanReport:
    """Gather what a reader of a plan for a live cluster is told."""
    return PlanReport(
        plan=planned.plan,
        digest=plan_digest(planned.plan),
        findings=findings_of(planned),
        against=LiveCluster(),
        folder=desire.tree.as_posix(),
    )


def rehearsed(reconciler: Reconciler, planned: Planned, report: PlanReport) -> PlanReport:
    """Add what the server would make of the plan, and what kept it from being asked."""
    found = reconciler.rehearse(planned)
    findings = replace(report.findings, problems=(*report.findings.problems, *found.problems))
    return replace(report, findings=findings, admission=found.admission)


def findings_of(planned: Planned, failures: tuple[Problem, ...] = ()) -> Findings:
    """Gather all that is wrong with files and cluster, and what went wrong since."""
    problems = (*planned.desired.problems, *planned.problems, *failures)
    return Findings(problems, planned.desired.warnings)
