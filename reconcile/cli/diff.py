"""The command `diff`: what `apply` would change.

The offline diff: a folder against the same folder at another revision, without any cluster.
"""

from pathlib import Path

import click

from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.adapters.sources.git import Checkout, checkout_of, commit_of
from reconcile.adapters.sources.git_tree import (
    GitFolder,
    GitTreeSource,
    files_by_path,
    templates_at,
)
from reconcile.cli.exit_codes import exit_of_diff
from reconcile.cli.options import (
    Connection,
    Desire,
    Look,
    Output,
    connection_options,
    desire_options,
    limit_option,
    look_options,
    output_options,
)
from reconcile.cli.output import failures_shown, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import plan_of, reconciler_of, rehearsed, report_of, shipped_templates
from reconcile.core.errors import SourceError
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.approval import plan_digest
from reconcile.core.plan.dry_run import Refused
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import OtherRevision, PlanReport
from reconcile.engine.offline_diff import Reading, Side, compare
from reconcile.engine.reconciler import Options


def report_against(name: str, desire: Desire, terminal: Terminal, *, prune: bool) -> PlanReport:
    """Plan what a folder changes against a revision; SourceError where git does not have it.

    From here on the terminal masks by the policy's patterns too.
    """
    tree = DirectorySource(desire.tree).read()
    checkout = checkout_of(desire.tree)
    commit = commit_of(checkout, name)
    folder = GitFolder(checkout.top, commit, checkout.prefix)
    old = Side(
        name,
        GitTreeSource(folder, files_by_path(tree.files)).read(),
        _old_templates(desire, checkout, commit),
    )
    new = Side("", tree, read_templates(*_folders(desire)))
    compared = compare(old, new, Reading(regular=desire.templates is None), prune=prune)
    terminal.masker = Masker(compared.mask)
    terminal.installation = compared.new.policy.installation
    warnings = (*compared.new.warnings, *compared.warnings)
    return PlanReport(
        plan=compared.plan,
        digest=plan_digest(compared.plan),
        findings=Findings(compared.new.problems, warnings),
        against=OtherRevision(name, commit),
        folder=checkout.prefix or ".",
    )


def _folders(desire: Desire) -> list[Path]:
    return [shipped_templates(), *([desire.templates] if desire.templates else [])]


def _old_templates(desire: Desire, checkout: Checkout, commit: str) -> dict[str, str]:
    """Templates of one's own are read at the revision too, if they are in the same repository."""
    prefix = _place_in(checkout, desire.templates) if desire.templates else None
    if prefix is None:
        return read_templates(*_folders(desire))
    shipped = read_templates(shipped_templates())
    return shipped | templates_at(GitFolder(checkout.top, commit, prefix))


def _place_in(checkout: Checkout, folder: Path) -> str | None:
    try:
        found = checkout_of(folder)
    except SourceError:
        return None
    return found.prefix if found.top == checkout.top else None


@click.command()
@desire_options
@connection_options
@look_options
@output_options("text", "unified", "markdown", "json", "names", "github")
@limit_option
def diff(desire: Desire, connection: Connection, look: Look, output: Output) -> int:
    """Show what `apply` would change, and change nothing.

    Needs the rights to get and list, no more. Exit code 0 means no change, 1 that there are some
    (held ones count), 2 and above that something is wrong.
    """
    terminal = Terminal(output)
    if look.against is not None:
        _check_offline(connection, look)
        return _offline(look.against, desire, terminal, prune=look.prune)
    with failures_shown(desire, terminal):
        reconciler = reconciler_of(connection, terminal, Options(prune=look.prune))
        planned = plan_of(reconciler, desire, terminal)
    report = report_of(planned, desire)
    if look.server_dry_run:
        report = rehearsed(reconciler, planned, report)
    show_plan(report, terminal)
    invalid = planned.desired.problems
    return exit_of_diff(
        planned.plan.changes,
        # All other problems are the cluster's.
        unread=len(report.findings.problems) > len(invalid),
        invalid=bool(invalid),
        refused=any(isinstance(each, Refused) for each in report.admission),
    )


def _check_offline(connection: Connection, look: Look) -> None:
    if connection != Connection("", "", "") or look.server_dry_run:
        raise click.UsageError(
            "--against goes without --cluster, --kubeconfig, --context and --server-dry-run"
        )


def _offline(against: str, desire: Desire, terminal: Terminal, *, prune: bool) -> int:
    with failures_shown(desire, terminal):
        report = report_against(against, desire, terminal, prune=prune)
    show_plan(report, terminal)
    invalid = bool(report.findings.problems)
    return exit_of_diff(report.plan.changes, unread=False, invalid=invalid, refused=False)
