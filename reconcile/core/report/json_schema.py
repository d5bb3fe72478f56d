"""The JSON Schema (draft 2020-12) of every document that `documents` makes."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.changes import Status
from reconcile.core.lifecycle.health import Phase
from reconcile.core.model import State
from reconcile.core.report.json_output import API_VERSION
from reconcile.core.report.summary import Summary

_Schema = Mapping[str, Any]

_ACTIONS: Final = ("create", "patch", "replace", "delete")
_TEXT: Final[_Schema] = {"type": "string"}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}


def report_schema() -> dict[str, Any]:
    """Make the schema; a document's `kind` says which of its forms it has."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What reconcile prints with -o json",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in ("Plan", "Result", "Problems", "Status")],
        "$defs": {
            "Plan": _plan(),
            "Result": _result(),
            "Problems": _document("Problems", _findings()),
            "Status": _status(),
            "against": _against(),
            "session": _session(),
            "change": _change(),
            "field": _field(),
            "admission": _admission(),
            "effect": _effect(),
            "cause": _cause(),
            "outcome": _outcome(),
            "problem": _problem(),
            "sessionStatus": _session_status(),
        },
    }


def _record(properties: _Schema, *, optional: tuple[str, ...] = (), about: str = "") -> _Schema:
    return {
        **({"description": about} if about else {}),
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list(name: str) -> _Schema:
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}


def _about(schema: _Schema, text: str) -> _Schema:
    return {**schema, "description": text}


def _document(kind: str, properties: _Schema, *, optional: tuple[str, ...] = ()) -> _Schema:
    head = {"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}}
    return _record({**head, **properties}, optional=optional)


def _origin() -> _Schema:
    return {
        "installation": _TEXT,
        "revision": _about(_TEXT, "the git commit, empty outside git"),
    }


def _findings() -> _Schema:
    return {"problems": _list("problem"), "warnings": _list("problem")}


def _plan() -> _Schema:
    counts = dict.fromkeys(Summary().as_dict(), _COUNT)
    summary = _record(counts, about="objects per kind of change; drift is counted on top")
    properties = {
        **_origin(),
        "against": {"$ref": "#/$defs/against"},
        "digest": _about(_TEXT, "one name for all that the plan would do"),
        "summary": summary,
        "sessions": _about(_list("session"), "sessions in which something changes"),
        "admission": _about(
            _list("admission"), "what the server's dry run says; missing where it was not asked"
        ),
        **_findings(),
    }
    return _document("Plan", properties, optional=("admission",))


def _against() -> _Schema:
    revision = {
        "type": {"const": "revision"},
        "name": _about(_TEXT, "as the user called it"),
        "revision": _about(_TEXT, "the git commit"),
    }
    return {"oneOf": [_tagged("liveCluster"), _record(revision)]}


def _result() -> _Schema:
    summary = _record({status.value: _COUNT for status in Status}, about="objects per status")
    rest = {"summary": summary, "outcomes": _list("outcome")}
    return _document("Result", {**_origin(), **rest, **_findings()})


def _status() -> _Schema:
    return _document("Status", {"installation": _TEXT, "sessions": _list("sessionStatus")})


def _session() -> _Schema:
    digest = _about(_TEXT, "of all that templates see of the session; empty for a removed one")
    names = {"namespace": _TEXT, "name": _TEXT}
    return _record({**names, "digest": digest, "changes": _list("change")})


def _ref() -> _Schema:
    return {
        "group": _about(_TEXT, "the API group, empty for the core group"),
        "kind": _TEXT,
        "namespace": _TEXT,
        "name": _TEXT,
    }


def _change() -> _Schema:
    properties = {
        "action": {"enum": [*_ACTIONS, "hold"]},
        "withholds": {"enum": list(_ACTIONS), "description": "what a hold withholds"},
        **_ref(),
        "reason": _about(_TEXT, "why it is held or deleted, as one word; else empty"),
        "message": _about(_TEXT, "the same for people, with the way out"),
        "notes": {"type": "array", "items": _TEXT},
        "fields": _list("field"),
        "patch": {
            "type": "array",
            "items": {"type": "object", "required": ["op", "path"]},
            "description": "the minimal JSON Patch (RFC 6902), secrets masked",
        },
    }
    return _record(properties, optional=("withholds",))


def _field() -> _Schema:
    absent = "the key is missing where the field is not there; secrets are masked"
    properties = {
        "path": _about(_TEXT, "for people: spec.containers[runner].image"),
        "before": {"description": absent},
        "after": {"description": absent},
        "effect": {"$ref": "#/$defs/effect"},
        "cause": {"$ref": "#/$defs/cause"},
    }
    return _record(properties, optional=("before", "after"))


def _admission() -> _Schema:
    field = {
        "path": _TEXT,
        "declared": {"description": "the key is missing where admission adds the field"},
        "admitted": {"description": "the key is missing where admission takes it away"},
    }
    fields = {"type": "array", "items": _record(field, optional=("declared", "admitted"))}
    reason = {"message": _about(_TEXT, "why, with secrets masked")}
    rest: _Schema = {
        "accepted": {},
        "altered": {"fields": fields},
        "refused": reason,
        "notTried": reason,
    }
    return {
        "oneOf": [
            _record({"verdict": {"const": verdict}, **_ref(), **properties})
            for verdict, properties in rest.items()
        ]
    }


def _tagged(name: str, **properties: _Schema) -> _Schema:
    return _record({"type": {"const": name}, **properties})


def _effect() -> _Schema:
    restarts = _tagged("restartsContainer", container=_TEXT)
    others = [_tagged(name) for name in ("metadata", "inPlace", "forcesReplace")]
    return {"oneOf": [*others, restarts]}


def _cause() -> _Schema:
    drift = _tagged(
        "drift",
        manager=_about(_TEXT, "the field manager, empty where unknown"),
        time=_about(_TEXT, "RFC 3339, empty where unknown"),
    )
    return {"oneOf": [_tagged("commit"), drift]}


def _outcome() -> _Schema:
    properties = {
        "status": {"enum": [status.value for status in Status]},
        "action": {"enum": [*_ACTIONS, "keep", "hold"]},
        **_ref(),
        "message": _about(_TEXT, "why, where it failed, was held or skipped"),
    }
    return _record(properties)


def _problem() -> _Schema:
    place = _about(_COUNT, "counts from 1; 0 where the whole file is meant")
    properties = {"path": _TEXT, "line": place, "column": place, "field": _TEXT, "message": _TEXT}
    return _record(properties)


def _session_status() -> _Schema:
    properties = {
        "namespace": _TEXT,
        "name": _TEXT,
        "state": {"enum": [state.value for state in State], "description": "what is wanted"},
        "phase": {"enum": [phase.value for phase in Phase], "description": "what is"},
        "reason": _TEXT,
        "message": _TEXT,
        "ageSeconds": {"type": ["integer", "null"], "description": "null where unknown"},
        "revision": _TEXT,
        "digest": _TEXT,
        "held": {"type": "array", "items": _TEXT},
    }
    return _record(properties)
