"""The JSON Schema (draft 2020-12) of every document that `documents` makes."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.changes import Status
from reconcile.core.lifecycle.health import Phase
from reconcile.core.model import SessionState
from reconcile.core.report.json_output import API_VERSION
from reconcile.core.report.summary import Summary

_Schema = Mapping[str, Any]

_ACTIONS: Final = ("create", "patch", "replace", "delete")
_TEXT: Final[_Schema] = {"type": "string"}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}


def build_report_schema() -> dict[str, Any]:
    """Make the schema; a document's `kind` says which of its forms it has."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What reconcile prints with -o json",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("Plan", "Result", "Problems", "Status")],
        "$defs": {
            "Plan": _plan_schema(),
            "Result": _result_schema(),
            "Problems": _document_schema("Problems", _findings_properties()),
            "Status": _status_schema(),
            "against": _baseline_schema(),
            "session": _session_schema(),
            "change": _change_schema(),
            "field": _field_schema(),
            "admission": _admission_schema(),
            "effect": _effect_schema(),
            "cause": _cause_schema(),
            "outcome": _outcome_schema(),
            "problem": _problem_schema(),
            "sessionStatus": _session_status_schema(),
        },
    }


def _object_schema(
    properties: _Schema, *, optional: tuple[str, ...] = (), about: str = ""
) -> _Schema:
    return {
        **({"description": about} if about else {}),
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list_schema(name: str) -> _Schema:
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}


def _with_description(schema: _Schema, text: str) -> _Schema:
    return {**schema, "description": text}


def _document_schema(kind: str, properties: _Schema, *, optional: tuple[str, ...] = ()) -> _Schema:
    head = {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}}
    return _object_schema({**head, **properties}, optional=optional)


def _origin_properties() -> _Schema:
    return {
        "installation": _TEXT,
        "revision": _with_description(_TEXT, "the git commit, empty outside git"),
    }


def _findings_properties() -> _Schema:
    return {"problems": _list_schema("problem"), "warnings": _list_schema("problem")}


def _plan_schema() -> _Schema:
    counts = dict.fromkeys(Summary().as_dict(), _COUNT)
    summary = _object_schema(counts, about="objects per kind of change; drift is counted on top")
    properties = {
        **_origin_properties(),
        "against": {"$ref": "#/$defs/against"},
        "digest": _with_description(_TEXT, "one name for all that the plan would do"),
        "summary": summary,
        "sessions": _with_description(
            _list_schema("session"), "sessions in which something changes"
        ),
        "admission": _with_description(
            _list_schema("admission"),
            "what the server's dry run says; missing where it was not asked",
        ),
        **_findings_properties(),
    }
    return _document_schema("Plan", properties, optional=("admission",))


def _baseline_schema() -> _Schema:
    revision = {
        "type": {"const": "revision"},
        "name": _with_description(_TEXT, "as the user called it"),
        "revision": _with_description(_TEXT, "the git commit"),
    }
    return {"oneOf": [_tagged_schema("liveCluster"), _object_schema(revision)]}


def _result_schema() -> _Schema:
    summary = _object_schema(
        {status.value: _COUNT for status in Status}, about="objects per status"
    )
    rest = {"summary": summary, "outcomes": _list_schema("outcome")}
    return _document_schema("Result", {**_origin_properties(), **rest, **_findings_properties()})


def _status_schema() -> _Schema:
    return _document_schema(
        "Status", {"installation": _TEXT, "sessions": _list_schema("sessionStatus")}
    )


def _session_schema() -> _Schema:
    digest = _with_description(
        _TEXT, "of all that templates see of the session; empty for a removed one"
    )
    names = {"namespace": _TEXT, "name": _TEXT}
    return _object_schema({**names, "digest": digest, "changes": _list_schema("change")})


def _ref_properties() -> _Schema:
    return {
        "group": _with_description(_TEXT, "the API group, empty for the core group"),
        "kind": _TEXT,
        "namespace": _TEXT,
        "name": _TEXT,
    }


def _change_schema() -> _Schema:
    properties = {
        "action": {"enum": [*_ACTIONS, "hold"]},
        "withholds": {"enum": list(_ACTIONS), "description": "what a hold withholds"},
        **_ref_properties(),
        "reason": _with_description(_TEXT, "why it is held or deleted, as one word; else empty"),
        "message": _with_description(_TEXT, "the same for people, with the way out"),
        "notes": {"type": "array", "items": _TEXT},
        "fields": _list_schema("field"),
        "patch": {
            "type": "array",
            "items": {"type": "object", "required": ["op", "path"]},
            "description": "the minimal JSON Patch (RFC 6902), secrets masked",
        },
    }
    return _object_schema(properties, optional=("withholds",))


def _field_schema() -> _Schema:
    absent = "the key is missing where the field is not there; secrets are masked"
    properties = {
        "path": _with_description(_TEXT, "for people: spec.containers[runner].image"),
        "before": {"description": absent},
        "after": {"description": absent},
        "effect": {"$ref": "#/$defs/effect"},
        "cause": {"$ref": "#/$defs/cause"},
    }
    return _object_schema(properties, optional=("before", "after"))


def _admission_schema() -> _Schema:
    field = {
        "path": _TEXT,
        "declared": {"description": "the key is missing where admission adds the field"},
        "admitted": {"description": "the key is missing where admission takes it away"},
    }
    fields = {"type": "array", "items": _object_schema(field, optional=("declared", "admitted"))}
    reason = {"message": _with_description(_TEXT, "why, with secrets masked")}
    rest: _Schema = {
        "accepted": {},
        "altered": {"fields": fields},
        "refused": reason,
        "notTried": reason,
    }
    return {
        "oneOf": [
            _object_schema({"verdict": {"const": verdict}, **_ref_properties(), **properties})
            for verdict, properties in rest.items()
        ]
    }


def _tagged_schema(name: str, **properties: _Schema) -> _Schema:
    return _object_schema({"type": {"const": name}, **properties})


def _effect_schema() -> _Schema:
    restarts = _tagged_schema("restartsContainer", container=_TEXT)
    others = [_tagged_schema(name) for name in ("metadata", "inPlace", "forcesReplace")]
    return {"oneOf": [*others, restarts]}


def _cause_schema() -> _Schema:
    drift = _tagged_schema(
        "drift",
        manager=_with_description(_TEXT, "the field manager, empty where unknown"),
        time=_with_description(_TEXT, "RFC 3339, empty where unknown"),
    )
    return {"oneOf": [_tagged_schema("commit"), drift]}


def _outcome_schema() -> _Schema:
    properties = {
        "status": {"enum": [status.value for status in Status]},
        "action": {"enum": [*_ACTIONS, "keep", "hold"]},
        **_ref_properties(),
        "message": _with_description(_TEXT, "why, where it failed, was held or skipped"),
    }
    return _object_schema(properties)


def _problem_schema() -> _Schema:
    place = _with_description(_COUNT, "counts from 1; 0 where the whole file is meant")
    properties = {"path": _TEXT, "line": place, "column": place, "field": _TEXT, "message": _TEXT}
    return _object_schema(properties)


def _session_status_schema() -> _Schema:
    properties = {
        "namespace": _TEXT,
        "name": _TEXT,
        "state": {"enum": [state.value for state in SessionState], "description": "what is wanted"},
        "phase": {"enum": [phase.value for phase in Phase], "description": "what is"},
        "reason": _TEXT,
        "message": _TEXT,
        "ageSeconds": {"type": ["integer", "null"], "description": "null where unknown"},
        "revision": _TEXT,
        "digest": _TEXT,
        "held": {"type": "array", "items": _TEXT},
    }
    return _object_schema(properties)
