"""The same as JSON documents, as `schema` describes them, for programs to read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, assert_never

from reconcile.core.changes import (
    ABSENT,
    Cause,
    Commit,
    Drift,
    Effect,
    FieldChange,
    ForcesReplace,
    InPlace,
    Metadata,
    Outcome,
    Plan,
    RestartsContainer,
)
from reconcile.core.errors import Problem
from reconcile.core.mask.masker import Masker
from reconcile.core.model import ObjectRef
from reconcile.core.report.escape import json_safe
from reconcile.core.report.problems import Findings
from reconcile.core.report.results import admission_json, learn_troubled
from reconcile.core.report.status import StatusRow
from reconcile.core.report.summary import action_name, count_outcomes
from reconcile.core.report.view import (
    Against,
    ChangeView,
    LiveCluster,
    OtherRevision,
    PlanReport,
    SessionView,
    plan_view,
)

API_VERSION: Final = "reconcile/v1"
"""Grows only when a field changes its meaning or goes away; new fields may come at any time."""


def to_json(document: Mapping[str, Any]) -> str:
    """Write a document as indented JSON text that is safe to print on a terminal."""
    return json_safe(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def plan_json(report: PlanReport, masker: Masker) -> dict[str, Any]:
    """A plan; objects that stay as they are are counted and not listed."""
    view = plan_view(report.plan, masker)
    sessions = [_session(session) for session in view.sessions]
    return {
        **_head("Plan", view.installation, view.revision),
        "against": _against(report.against, masker),
        "digest": report.digest,
        "summary": view.summary.as_dict(),
        "sessions": [session for session in sessions if session["changes"]],
        **({"admission": admission_json(report, masker)} if report.admission else {}),
        **_findings(report.findings, masker),
    }


def outcomes_json(
    plan: Plan, outcomes: Sequence[Outcome], findings: Findings, masker: Masker
) -> dict[str, Any]:
    """How the changes of a plan ended."""
    learn_troubled(outcomes, masker)
    return {
        **_head("Result", plan.installation, plan.revision),
        "summary": count_outcomes(outcomes),
        "outcomes": [_outcome(outcome, masker) for outcome in outcomes],
        **_findings(findings, masker),
    }


def problems_json(findings: Findings, masker: Masker) -> dict[str, Any]:
    """What is wrong with a desired tree."""
    return {"apiVersion": API_VERSION, "kind": "Problems", **_findings(findings, masker)}


def status_json(installation: str, rows: Sequence[StatusRow], masker: Masker) -> dict[str, Any]:
    """What lives."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "installation": installation,
        "sessions": [_status(row, masker) for row in rows],
    }


def _head(kind: str, installation: str, revision: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "installation": installation,
        "revision": revision,
    }


def _against(against: Against, masker: Masker) -> dict[str, str]:
    match against:
        case LiveCluster():
            return {"type": "liveCluster"}
        case OtherRevision(name, revision):
            return {"type": "revision", "name": masker.text(name), "revision": revision}
        case _:
            assert_never(against)


def _ref(ref: ObjectRef) -> dict[str, Any]:
    return {"group": ref.group, "kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _session(view: SessionView) -> dict[str, Any]:
    return {
        "namespace": view.session.namespace,
        "name": view.session.name,
        "digest": view.digest,
        "changes": [_change(change) for change in view.changes if change.action != "keep"],
    }


def _change(view: ChangeView) -> dict[str, Any]:
    withholds = {"withholds": view.withholds} if view.withholds else {}
    return {
        "action": view.action,
        **withholds,
        **_ref(view.ref),
        "reason": view.reason,
        "message": view.message,
        "notes": list(view.notes),
        "fields": [_field(field) for field in view.fields],
        "patch": [dict(operation) for operation in view.patch],
    }


def _field(field: FieldChange) -> dict[str, Any]:
    # JSON has no word for a field that is not there, so its key is left out.
    sides = {"before": field.before, "after": field.after}
    return {
        "path": field.path,
        **{side: value for side, value in sides.items() if value is not ABSENT},
        "effect": _effect(field.effect),
        "cause": _cause(field.cause),
    }


def _effect(effect: Effect) -> dict[str, str]:
    match effect:
        case Metadata():
            return {"type": "metadata"}
        case InPlace():
            return {"type": "inPlace"}
        case RestartsContainer(container):
            return {"type": "restartsContainer", "container": container}
        case ForcesReplace():
            return {"type": "forcesReplace"}
        case _:
            assert_never(effect)


def _cause(cause: Cause) -> dict[str, str]:
    match cause:
        case Commit():
            return {"type": "commit"}
        case Drift(manager, time):
            return {"type": "drift", "manager": manager, "time": time}
        case _:
            assert_never(cause)


def _outcome(outcome: Outcome, masker: Masker) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "action": action_name(outcome.change),
        **_ref(outcome.change.ref),
        "message": masker.text(outcome.message),
    }


def _findings(findings: Findings, masker: Masker) -> dict[str, Any]:
    return {
        "problems": [_problem(problem, masker) for problem in findings.problems],
        "warnings": [_problem(problem, masker) for problem in findings.warnings],
    }


def _problem(problem: Problem, masker: Masker) -> dict[str, Any]:
    return {
        "path": masker.text(problem.path),
        "line": problem.line,
        "column": problem.column,
        "field": masker.text(problem.field),
        "message": masker.text(problem.message),
    }


def _status(row: StatusRow, masker: Masker) -> dict[str, Any]:
    return {
        "namespace": row.session.namespace,
        "name": row.session.name,
        "state": row.state.value,
        "phase": row.phase.value,
        "reason": masker.text(row.reason),
        "message": masker.text(row.message),
        "ageSeconds": int(row.age) if row.age >= 0 else None,
        "revision": row.revision,
        "digest": row.digest,
        "held": [masker.text(held) for held in row.held],
    }
