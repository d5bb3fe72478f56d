"""Plans, outcomes, problems and status as JSON documents, as `json_schema` describes them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from reconcile.core.changes import (
    ABSENT,
    Cause,
    Commit,
    DeliversPrompt,
    Drift,
    Effect,
    FieldChange,
    ForcesReplace,
    InPlace,
    MetadataOnly,
    Outcome,
    Plan,
    RestartsContainer,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.report.escape import escape_json_controls
from reconcile.core.report.problems import Findings, mask_settings
from reconcile.core.report.remarks import format_word
from reconcile.core.report.results import admission_json, learn_failed_objects
from reconcile.core.report.status import StatusRow, format_remarks
from reconcile.core.report.summary import action_name, count_outcomes
from reconcile.core.report.view import (
    Baseline,
    ChangeView,
    LiveCluster,
    OtherRevision,
    PlanReport,
    SessionView,
    build_plan_view,
    has_changes,
)

API_VERSION: Final = "reconcile/v1"
"""Incremented only if a field is removed or changes its meaning; fields can be added anytime."""


def to_json(document: Mapping[str, Any]) -> str:
    """Write a document as indented JSON text that is safe to print on a terminal."""
    return escape_json_controls(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def plan_json(report: PlanReport, masker: Masker) -> dict[str, Any]:
    """Return a plan; unchanged objects are counted, but not listed."""
    view = build_plan_view(report.plan, masker)
    sessions = [_session_json(each, masker) for each in view.sessions if has_changes(each)]
    settings = [
        {"path": change.file, "field": change.field, "message": change.text}
        for change in mask_settings(report.findings.settings, masker)
    ]
    return {
        **_document_head("Plan", view.installation, view.revision),
        "against": _baseline_json(report.baseline, masker),
        "digest": report.digest,
        "summary": view.summary.as_dict(),
        "sessions": sessions,
        **({"settings": settings} if settings else {}),
        **({"admission": admission_json(report, masker)} if report.admission else {}),
        **_findings_json(report.findings, masker),
    }


def outcomes_json(
    plan: Plan, outcomes: Sequence[Outcome], findings: Findings, masker: Masker
) -> dict[str, Any]:
    """Return the outcomes of a plan's changes."""
    learn_failed_objects(outcomes, masker)
    return {
        **_document_head("Result", plan.installation, plan.revision),
        "summary": count_outcomes(outcomes),
        "outcomes": [_outcome_json(outcome, masker) for outcome in outcomes],
        **_findings_json(findings, masker),
    }


def problems_json(findings: Findings, masker: Masker) -> dict[str, Any]:
    """Return the problems and warnings of a desired tree."""
    return {"apiVersion": API_VERSION, "kind": "Problems", **_findings_json(findings, masker)}


def status_json(
    installation: str, rows: Sequence[StatusRow], findings: Findings, masker: Masker
) -> dict[str, Any]:
    """Return the status of the live sessions, and the problems in reading it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "installation": installation,
        "sessions": [_status_row_json(row, masker) for row in rows],
        **_findings_json(findings, masker),
    }


def _document_head(kind: str, installation: str, revision: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "installation": installation,
        "revision": revision,
    }


def _baseline_json(baseline: Baseline, masker: Masker) -> dict[str, str]:
    match baseline:
        case LiveCluster():
            return {"type": "liveCluster"}
        case OtherRevision(name, revision):
            return {"type": "revision", "name": masker.mask_text(name), "revision": revision}
        case _:
            assert_never(baseline)


def _ref_json(ref: ObjectRef) -> dict[str, Any]:
    return {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _session_json(view: SessionView, masker: Masker) -> dict[str, Any]:
    return {
        "namespace": view.session.namespace,
        "name": view.session.name,
        "digest": masker.mask_digest(view.digest),
        "changes": [_change_json(change) for change in view.changes if change.action != "keep"],
    }


def _change_json(view: ChangeView) -> dict[str, Any]:
    held = {"withholds": view.held_action} if view.held_action else {}
    return {
        "action": view.action,
        **held,
        **_ref_json(view.ref),
        "reason": view.reason,
        "message": view.message,
        "notes": list(view.notes),
        "fields": [_field_json(field) for field in view.fields],
        "patch": [dict(operation) for operation in view.patch],
    }


def _field_json(field: FieldChange) -> dict[str, Any]:
    # JSON has no value for an absent field, so its key is left out.
    sides = {"before": field.before, "after": field.after}
    return {
        "path": field.path,
        **{side: value for side, value in sides.items() if value is not ABSENT},
        "effect": _effect_json(field.effect),
        "cause": _cause_json(field.cause),
    }


def _effect_json(effect: Effect) -> dict[str, str]:
    match effect:
        case MetadataOnly():
            return {"type": "metadata"}
        case InPlace():
            return {"type": "inPlace"}
        case DeliversPrompt():
            return {"type": "deliversPrompt"}
        case RestartsContainer(container):
            return {"type": "restartsContainer", "container": container}
        case ForcesReplace():
            return {"type": "forcesReplace"}
        case _:
            assert_never(effect)


def _cause_json(cause: Cause) -> dict[str, str]:
    match cause:
        case Commit():
            return {"type": "commit"}
        case Drift(manager, time):
            return {"type": "drift", "manager": manager, "time": time}
        case _:
            assert_never(cause)


def _outcome_json(outcome: Outcome, masker: Masker) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "action": action_name(outcome.change),
        **_ref_json(outcome.change.ref),
        "message": masker.mask_text(outcome.message),
    }


def _findings_json(findings: Findings, masker: Masker) -> dict[str, Any]:
    return {
        "problems": [_problem_json(problem, masker) for problem in findings.problems],
        "warnings": [_problem_json(problem, masker) for problem in findings.warnings],
    }


def _problem_json(problem: Problem, masker: Masker) -> dict[str, Any]:
    return {
        "path": masker.mask_text(problem.path),
        "line": problem.line,
        "column": problem.column,
        "field": masker.mask_text(problem.field),
        "message": masker.mask_text(problem.message),
    }


def _status_row_json(row: StatusRow, masker: Masker) -> dict[str, Any]:
    details = format_remarks(row, masker)
    return {
        "namespace": row.session.namespace,
        "name": row.session.name,
        "state": row.state.value,
        "phase": row.phase.value,
        "reason": format_word(row.reason, masker),
        "message": "; ".join(filter(None, (*details, row.next_step.value))),
        "details": details,
        "nextStep": row.next_step.value,
        "restarts": row.restarts,
        "ageSeconds": _age_json(row.age),
        "recordAgeSeconds": _age_json(row.record_age),
        "revision": row.revision,
        "digest": masker.mask_digest(row.digest),
        "unflushed": masker.mask_text(row.unflushed),
        "held": [masker.mask_text(held) for held in row.held],
    }


def _age_json(seconds: float) -> int | None:
    return int(seconds) if seconds >= 0 else None
