"""The command `review`: what a CI job runs for a pull request."""

from pathlib import Path
from typing import Any

import click

from reconcile.ci.commands import Live, Offline, run_process
from reconcile.ci.environment import TOKEN, job_of
from reconcile.ci.forge import Surroundings
from reconcile.ci.output import LIMIT, SMALLEST, Outlets
from reconcile.ci.review import Asked, FailOn, Review, Reviewed
from reconcile.cli.exit_codes import Exit
from reconcile.cli.options import Output
from reconcile.cli.terminal import Terminal
from reconcile.runtime.clock import SystemClock


@click.command()
@click.argument("folder", metavar="[DIR]", default="desired")
@click.option("--templates", metavar="DIR", default="", help="Templates beside the shipped ones.")
@click.option(
    "--against",
    metavar="REV",
    default="",
    help="The revision to compare with. Default: what the pull request began from.",
)
@click.option(
    "--live",
    metavar="BOOLEAN",
    type=click.BOOL,
    default=False,
    help="Compare with the cluster instead; never for a change from a fork.",
)
@click.option("--kubeconfig", metavar="FILE", default="", help="The kubeconfig for --live.")
@click.option(
    "--limit",
    type=click.IntRange(min=SMALLEST, max=1_000_000),
    default=LIMIT,
    show_default=True,
    metavar="BYTES",
    help="The most bytes that the comment may have.",
)
@click.option(
    "--comment",
    metavar="BOOLEAN",
    type=click.BOOL,
    default=True,
    help="Keep one comment on the pull request, with the token in $RECONCILE_TOKEN.",
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
    """Validate and diff a pull request, and keep one comment on it; for CI jobs.

    Where it runs, on GitHub or GitLab, it finds out from the environment, and what the pull request
    began from as well. The diff needs no cluster unless --live is given.
    """
    cluster = Live(kubeconfig and str(Path(kubeconfig).absolute()))
    where = cluster if live else Offline(against) if against else None
    asked = Asked(against=where, fail_on=FailOn(fail_on), **options)
    return _exit(_reviewed(asked))


def _reviewed(asked: Asked) -> Reviewed:
    terminal = Terminal(Output("text"))
    environ = terminal.settings.environ
    job = job_of(environ)
    terminal.masker.learn({TOKEN: environ.get(TOKEN, "")})
    outlets = Outlets(job.forge, environ, lambda text: terminal.show(f"{text}\n"), terminal.mask)
    around = Surroundings(environ, Path.cwd(), run_process)
    return Review(asked, job, around, outlets).run(SystemClock())


def _exit(reviewed: Reviewed) -> int:
    if reviewed.fails:
        return reviewed.code
    return Exit.UNCOMMENTED if reviewed.uncommented else Exit.OK
