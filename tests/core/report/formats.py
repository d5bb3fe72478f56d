"""Every output format of a plan, for tests that apply to all of them."""

from collections.abc import Iterator

from reconcile.core.mask.masker import Masker
from reconcile.core.report.escape import TextOptions
from reconcile.core.report.github import format_github
from reconcile.core.report.json_output import plan_json, to_json
from reconcile.core.report.markdown import format_markdown
from reconcile.core.report.text import format_names, format_plan_text
from reconcile.core.report.unified import format_unified
from reconcile.core.report.view import PlanReport


def every_form(report: PlanReport, masker: Masker) -> Iterator[str]:
    yield format_plan_text(report, masker, TextOptions(verbose=True))
    yield to_json(plan_json(report, masker))
    yield format_markdown(report, masker)
    yield format_unified(report, masker)
    yield format_names(report, masker)
    yield format_github(report, masker)
