"""The offline diff: a folder against the same folder at another revision, without any cluster."""

from pathlib import Path

from reconcile.adapters.sources.directory import DirectorySource, read_templates
from reconcile.adapters.sources.git import Checkout, checkout_of, commit_of
from reconcile.adapters.sources.git_tree import (
    GitFolder,
    GitTreeSource,
    files_by_path,
    templates_at,
)
from reconcile.cli.options import Desire
from reconcile.cli.terminal import Terminal
from reconcile.cli.wiring import shipped_templates
from reconcile.core.errors import SourceError
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.approval import plan_digest
from reconcile.core.report.problems import Findings
from reconcile.core.report.view import OtherRevision, PlanReport
from reconcile.engine.offline_diff import Reading, Side, compare


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
