"""The JSON Schema (draft 2020-12) of every document that `json_output` creates."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.changes import Status
from reconcile.core.lifecycle.pod_status import Phase
from reconcile.core.model import SessionState
from reconcile.core.report.json_output import API_VERSION
from reconcile.core.report.summary import Summary

_Schema = Mapping[str, Any]

_ACTIONS: Final = ("create", "patch", "replace", "delete")
_TEXT: Final[_Schema] = {"type": "string"}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}
_AGE: Final[_Schema] = {"type": ["integer", "null"]}


def build_report_schema() -> dict[str, Any]:
    """Return the schema; the `kind` of a document selects one of its forms."""
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
            "setting": _object_schema({"path": _TEXT, "field": _TEXT, "message": _TEXT}),
            "sessionStatus": _session_status_schema(),
        },
    }


def _object_schema(
    properties: _Schema, *, optional: tuple[str, ...] = (), description: str = ""
) -> _Schema:
    return {
        **({"description": description} if description else {}),
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
    summary = _object_schema(
        counts, description="objects per kind of change; drift is counted in addition"
    )
    properties = {
        **_origin_properties(),
        "against": {"$ref": "#/$defs/against"},
        "digest": _with_description(_TEXT, "identifies the changes of the plan"),
        "summary": summary,
        "sessions": _with_description(_list_schema("session"), "sessions with changes"),
        "settings": _with_description(
            _list_schema("setting"),
            "what changes in policy, defaults and templates; missing if nothing does, and without "
            "another revision",
        ),
        "admission": _with_description(
            _list_schema("admission"),
            "the results of the server-side dry run; missing without one",
        ),
        **_findings_properties(),
    }
    return _document_schema("Plan", properties, optional=("admission", "settings"))


def _baseline_schema() -> _Schema:
    revision = {
        "type": {"const": "revision"},
        "name": _with_description(_TEXT, "the name that the user gave"),
        "revision": _with_description(_TEXT, "the git commit"),
    }
    return {"oneOf": [_tagged_schema("liveCluster"), _object_schema(revision)]}


def _result_schema() -> _Schema:
    summary = _object_schema(
        {status.value: _COUNT for status in Status}, description="objects per status"
    )
    rest = {"summary": summary, "outcomes": _list_schema("outcome")}
    return _document_schema("Result", {**_origin_properties(), **rest, **_findings_properties()})


def _status_schema() -> _Schema:
    return _document_schema(
        "Status",
        {
            "installation": _TEXT,
            "sessions": _list_schema("sessionStatus"),
            **_findings_properties(),
        },
    )


def _session_schema() -> _Schema:
    digest = _with_description(
        _TEXT,
        "the digest of the session as seen by templates; empty for a removed one, masked if there "
        "are secrets that could be found by trying",
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
        "withholds": {"enum": list(_ACTIONS), "description": "the action that is held"},
        **_ref_properties(),
        "reason": _with_description(
            _TEXT, "the reason for a hold or a delete, as one word; else empty"
        ),
        "message": _with_description(_TEXT, "the reason as a sentence, with the remedy"),
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
    absent = "the key is missing if the field is absent; secrets are masked"
    properties = {
        "path": _with_description(_TEXT, "for display: spec.containers[runner].image"),
        "before": {"description": absent},
        "after": {"description": absent},
        "effect": {"$ref": "#/$defs/effect"},
        "cause": {"$ref": "#/$defs/cause"},
    }
    return _object_schema(properties, optional=("before", "after"))


def _admission_schema() -> _Schema:
    field = {
        "path": _TEXT,
        "declared": {"description": "the key is missing if admission adds the field"},
        "admitted": {"description": "the key is missing if admission removes the field"},
    }
    fields = {"type": "array", "items": _object_schema(field, optional=("declared", "admitted"))}
    reason = {"message": _with_description(_TEXT, "the reason; secrets are masked")}
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
    names = ("metadata", "inPlace", "deliversPrompt", "forcesReplace")
    return {"oneOf": [*map(_tagged_schema, names), restarts]}


def _cause_schema() -> _Schema:
    drift = _tagged_schema(
        "drift",
        manager=_with_description(_TEXT, "the field manager, empty if unknown"),
        time=_with_description(_TEXT, "RFC 3339, empty if unknown"),
    )
    return {"oneOf": [_tagged_schema("commit"), drift]}


def _outcome_schema() -> _Schema:
    properties = {
        "status": {"enum": [status.value for status in Status]},
        "action": {"enum": [*_ACTIONS, "keep", "hold"]},
        **_ref_properties(),
        "message": _with_description(_TEXT, "the reason, if it failed, was held or skipped"),
    }
    return _object_schema(properties)


def _problem_schema() -> _Schema:
    place = _with_description(_COUNT, "counts from 1; 0 for the whole file")
    properties = {"path": _TEXT, "line": place, "column": place, "field": _TEXT, "message": _TEXT}
    return _object_schema(properties)


def _session_status_schema() -> _Schema:
    properties = {
        "namespace": _TEXT,
        "name": _TEXT,
        "state": {
            "enum": [state.value for state in SessionState],
            "description": "the desired state",
        },
        "phase": {"enum": [phase.value for phase in Phase], "description": "the live phase"},
        "reason": _with_description(_TEXT, "one word, empty if there is nothing to explain"),
        "message": _with_description(_TEXT, "`details` and `nextStep` in one line"),
        "details": _with_description(
            {"type": "array", "items": _TEXT},
            "what is remarkable about the pod, its containers and the last pass: each one line of "
            "words, shortened, secrets masked",
        ),
        "nextStep": _with_description(
            _TEXT, "how a session whose pod has ended, or is lost, goes on; else empty"
        ),
        "restarts": _with_description(_COUNT, "how often containers of the pod were restarted"),
        "ageSeconds": _with_description(_AGE, "the age of the pod; null without a pod"),
        "recordAgeSeconds": _with_description(
            _AGE, "the age of the Record, and so of the session; null before the first apply"
        ),
        "revision": _TEXT,
        "digest": _TEXT,
        "unflushed": _with_description(
            _TEXT, "when and why a pod ended before everything was stored; empty if none did"
        ),
        "held": {"type": "array", "items": _TEXT},
    }
    return _object_schema(properties)
