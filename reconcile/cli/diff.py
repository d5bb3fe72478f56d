"""The command `diff`: what `apply` would change in the cluster, or a commit compared with another.

The offline diff (`--against`) compares a folder with the same folder at another git revision.
"""

from pathlib import Path

import click

from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.adapters.sources.git import (
    Checkout,
    find_checkout,
    has_diverged,
    resolve_base,
)
from reconcile.adapters.sources.git_tree import (
    GitFolder,
    GitTreeSource,
    files_by_path,
    read_templates_at,
)
from reconcile.cli.exit_codes import diff_exit_code
from reconcile.cli.options import (
    Connection,
    DiffOptions,
    Output,
    SourceOptions,
    connection_options,
    diff_options,
    limit_option,
    output_options,
    source_options,
)
from reconcile.cli.output import report_failures, show_plan
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import (
    add_dry_run,
    build_plan_report,
    build_reconciler,
    compute_plan,
    find_shipped_templates,
)
from reconcile.core.errors import Problem, SourceError
from reconcile.core.plan.approval import compute_plan_digest
from reconcile.core.plan.dry_run import RefusedObject
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import OtherRevision, PlanReport
from reconcile.engine.offline_diff import ReadOptions, Revision, compare_revisions
from reconcile.engine.reconciler import ReconcilerOptions


def build_offline_report(
    revision: str, source: SourceOptions, terminal: Terminal, *, prune: bool
) -> PlanReport:
    """Plan what a folder changes against a revision; SourceError where git does not have it.

    Afterwards the terminal also masks by the patterns of the policy.
    """
    tree = DirectorySource(source.tree).read()
    checkout = find_checkout(source.tree)
    commit = resolve_base(checkout, revision)
    folder = GitFolder(checkout.top, commit, checkout.prefix)
    old = Revision(
        revision,
        GitTreeSource(folder, files_by_path(tree.files)).read(),
        _read_old_templates(source, checkout, commit),
    )
    new = Revision("", tree, read_templates(*_template_folders(source)))
    options = ReadOptions(standard_names=source.templates is None, on_read=terminal.learn_later)
    compared = compare_revisions(old, new, options, prune=prune)
    terminal.use_masks(compared.mask)
    terminal.installation = compared.new.policy.installation
    warnings = (
        *compared.new.warnings,
        *compared.warnings,
        *_warn_diverged(checkout, revision, commit),
    )
    return PlanReport(
        plan=compared.plan,
        digest=compute_plan_digest(compared.plan, compared.new),
        findings=Findings(compared.new.problems, warnings, compared.settings),
        baseline=OtherRevision(revision, commit),
        folder=checkout.prefix or ".",
    )


def _warn_diverged(checkout: Checkout, revision: str, commit: str) -> tuple[Problem, ...]:
    """Warn that the other revision has commits which this branch does not have."""
    if not has_diverged(checkout, commit):
        return ()
    message = (
        "has commits that HEAD does not have, and what they add shows as deleted: use "
        f"`--against {revision}...HEAD` for what this branch changes"
    )
    return (Problem(revision, 0, 0, "", message),)


def _template_folders(source: SourceOptions) -> list[Path]:
    return [find_shipped_templates(), *([source.templates] if source.templates else [])]


def _read_old_templates(source: SourceOptions, checkout: Checkout, commit: str) -> dict[str, str]:
    """Read the user's templates at the revision too, if they are in the same repository."""
    prefix = _path_in_checkout(checkout, source.templates) if source.templates else None
    if prefix is None:
        return read_templates(*_template_folders(source))
    shipped = read_templates(find_shipped_templates())
    return shipped | read_templates_at(GitFolder(checkout.top, commit, prefix))


def _path_in_checkout(checkout: Checkout, folder: Path) -> str | None:
    try:
        other = find_checkout(folder)
    except SourceError:
        return None
    return other.prefix if other.top == checkout.top else None


@click.command()
@source_options
@connection_options
@diff_options
@output_options("text", "unified", "markdown", "json", "names", "github")
@limit_option
def diff(
    source: SourceOptions, connection: Connection, options: DiffOptions, output: Output
) -> int:
    """Show what `apply` would change, and change nothing.

    Needs only permission to get and list. Exit code 0 means no changes, 1 means changes (held
    ones count), 2 and above are errors.
    """
    terminal = Terminal(output)
    if options.against is not None:
        _check_offline(connection, options)
        return _diff_offline(options.against, source, terminal, prune=options.prune)
    with report_failures(source, terminal):
        reconciler = build_reconciler(connection, terminal, ReconcilerOptions(prune=options.prune))
        planned = compute_plan(reconciler, source, terminal)
    report = build_plan_report(planned, source)
    if options.server_dry_run:
        report = add_dry_run(reconciler, planned, report)
    show_plan(report, terminal)
    invalid = planned.desired.problems
    return diff_exit_code(
        planned.plan.changes,
        # All other problems come from reading the cluster.
        unreadable=len(report.findings.problems) > len(invalid),
        invalid=bool(invalid),
        refused=any(isinstance(each, RefusedObject) for each in report.admission),
    )


def _check_offline(connection: Connection, options: DiffOptions) -> None:
    if connection != Connection("", "", "") or options.server_dry_run:
        raise click.UsageError(
            "--against cannot be used with --cluster, --kubeconfig, --context or --server-dry-run"
        )


def _diff_offline(against: str, source: SourceOptions, terminal: Terminal, *, prune: bool) -> int:
    with report_failures(source, terminal):
        report = build_offline_report(against, source, terminal, prune=prune)
    show_plan(report, terminal)
    invalid = bool(report.findings.problems)
    return diff_exit_code(report.plan.changes, unreadable=False, invalid=invalid, refused=False)
