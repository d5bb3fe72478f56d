"""The command `review`, which a CI job runs for a pull request."""

from pathlib import Path
from typing import Any

import click

from reconcile.ci.commands import ClusterComparison, RevisionComparison, run_process
from reconcile.ci.environment import TOKEN_VARIABLE, detect_job
from reconcile.ci.forge import JobContext
from reconcile.ci.output import COMMENT_LIMIT, MIN_COMMENT_LIMIT, JobOutput
from reconcile.ci.review import FailOn, Review, ReviewOptions, ReviewResult
from reconcile.cli.exit_codes import ExitCode
from reconcile.cli.options import Output
from reconcile.cli.terminal import Terminal
from reconcile.runtime.clock import SystemClock
from reconcile.runtime.process import erase_environment
from reconcile.runtime.settings import FORGE_TOKEN_VARIABLES


@click.command()
@click.argument("folder", metavar="[DIR]", default="desired")
@click.option(
    "--templates",
    metavar="DIR",
    default="",
    help="Your own templates, in addition to the built-in ones.",
)
@click.option(
    "--against",
    metavar="REV",
    default="",
    help="The git revision to compare with. Default: the base of the pull request.",
)
@click.option(
    "--live",
    metavar="BOOLEAN",
    type=click.BOOL,
    default=False,
    help="Compare with the cluster instead; ignored for a change from a fork.",
)
@click.option("--kubeconfig", metavar="FILE", default="", help="The kubeconfig for --live.")
@click.option(
    "--limit",
    type=click.IntRange(min=MIN_COMMENT_LIMIT, max=1_000_000),
    default=COMMENT_LIMIT,
    show_default=True,
    metavar="BYTES",
    help="The maximum size of the comment.",
)
@click.option(
    "--comment",
    metavar="BOOLEAN",
    type=click.BOOL,
    default=True,
    help="Maintain one comment on the pull request, with the token in $RECONCILE_TOKEN.",
)
@click.option(
    "--fail-on",
    type=click.Choice([one.value for one in FailOn]),
    default=FailOn.ERROR.value,
    show_default=True,
    help="What makes the job fail.",
)
@click.option("--report", metavar="FILE", default="", help="Also write the comment's text here.")
def review(*, against: str, live: bool, kubeconfig: str, fail_on: str, **options: Any) -> int:
    """Validate and diff a pull request, and maintain one comment on it; for CI jobs.

    Detects GitHub or GitLab, and the base of the pull request, from the environment. The diff needs
    no cluster, except with --live.
    """
    cluster = ClusterComparison(kubeconfig and str(Path(kubeconfig).absolute()))
    base = cluster if live else RevisionComparison(against) if against else None
    review_options = ReviewOptions(against=base, fail_on=FailOn(fail_on), **options)
    return _choose_exit_code(_run_review(review_options))


def _run_review(options: ReviewOptions) -> ReviewResult:
    terminal = Terminal(Output("text"))
    environ = terminal.settings.environ
    erase_environment(FORGE_TOKEN_VARIABLES)
    job = detect_job(environ)
    terminal.masker.learn({TOKEN_VARIABLE: environ.get(TOKEN_VARIABLE, "")})
    output = JobOutput(job.forge, environ, lambda text: terminal.show(f"{text}\n"), terminal.mask)
    context = JobContext(environ, Path.cwd(), run_process)
    return Review(options, job, context, output).run(SystemClock())


def _choose_exit_code(result: ReviewResult) -> int:
    if result.is_failure:
        return result.code
    return ExitCode.COMMENT_FAILED if result.comment_failed else ExitCode.OK
