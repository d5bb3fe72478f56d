"""`metadata.managedFields` as a table: who owns what, since when."""

from typing import Any, Final, NamedTuple, TypeAlias

from reconcile.core.fields.managed_fields import FieldSet, difference, is_empty, owners

APPLY: Final = "Apply"
UPDATE: Final = "Update"


class Who(NamedTuple):
    """A manager, how it wrote, and through which subresource (empty: the object itself)."""

    manager: str
    operation: str
    subresource: str = ""


class Claim(NamedTuple):
    """The fields that somebody owns, and when that last changed."""

    fields: FieldSet
    time: str


Managers: TypeAlias = dict[Who, Claim]


def managers_of(obj: dict[str, Any] | None) -> Managers:
    """Read the table from an object; None has an empty one."""
    entries = owners(obj) if obj else ()
    return {
        Who(entry.manager, entry.operation, entry.subresource): Claim(entry.fields, entry.time)
        for entry in entries
    }


def record(obj: dict[str, Any], managers: Managers) -> None:
    """Write the table into an object, sorted as the server does, those who own nothing left out."""
    rows = sorted(
        ((who, claim) for who, claim in managers.items() if not is_empty(claim.fields)),
        key=lambda row: (row[0].operation, row[1].time, row[0]),
    )
    obj["metadata"].pop("managedFields", None)
    if rows:
        entries = [_entry(obj["apiVersion"], who, claim) for who, claim in rows]
        obj["metadata"]["managedFields"] = entries


def without(managers: Managers, fields: FieldSet) -> Managers:
    """Take fields away from everybody."""
    return {
        who: Claim(difference(claim.fields, fields), claim.time) for who, claim in managers.items()
    }


def _entry(api_version: str, who: Who, claim: Claim) -> dict[str, Any]:
    subresource = {"subresource": who.subresource} if who.subresource else {}
    return {
        "manager": who.manager,
        "operation": who.operation,
        "apiVersion": api_version,
        "time": claim.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": claim.fields,
        **subresource,
    }
