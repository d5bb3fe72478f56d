"""What `diff` and `apply` have in common: from options to a plan, and to its report."""

from dataclasses import replace

from reconcile.cli.options import Connection, Desire
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import cluster_of, desired_state
from reconcile.core.errors import Problem
from reconcile.core.plan.approval import plan_digest
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import LiveCluster, PlanReport
from reconcile.engine.reconciler import Options, Planned, Reconciler
from reconcile.runtime.clock import SystemClock


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
