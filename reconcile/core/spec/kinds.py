"""The field tables of every kind of document that desired state may hold."""

from collections.abc import Mapping
from typing import Final

from reconcile.core.spec.field_types import (
    BOOL,
    PLATFORM_ONLY,
    AnyType,
    Field,
    ListType,
    MapType,
    ObjectType,
    Scalar,
    bounded_integer,
    choice,
    identity,
)
from reconcile.core.spec.formats import (
    FREE_TEXT,
    LABEL_KEY,
    LABEL_NAME,
    LABEL_VALUE,
    NAME_PATTERN,
    OBJECT_NAME,
    SESSION_NAME,
    SESSION_REF,
)
from reconcile.core.spec.session_fields import EXPORTED_FIELDS, SESSION_SPEC, SHARED_FIELDS

API_VERSION: Final = "vteam.ambient-code/v1alpha1"
"""The version of every kind here: the platform's own."""

SESSION_KIND: Final = "AgenticSession"
DEFAULTS_KIND: Final = "SessionDefaults"
PROJECT_KIND: Final = "ProjectSettings"
POLICY_KIND: Final = "Policy"

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""What kubectl writes into exports; it repeats the whole object, and is left out."""

_SERVER_SET_FIELDS: Final = (
    "uid",
    "resourceVersion",
    "generation",
    "generateName",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
    "ownerReferences",
    "finalizers",
)


def _metadata_type(name: Scalar, *, required: bool) -> ObjectType:
    return ObjectType(
        (
            Field("name", name, "The object's name.", required=required),
            Field("namespace", LABEL_NAME, "The folder's name, if given at all."),
            Field("labels", MapType(LABEL_KEY, LABEL_VALUE), "Labels for the session's objects."),
            Field(
                "annotations",
                MapType(LABEL_KEY, FREE_TEXT),
                "Annotations for the session's objects.",
            ),
            *(
                Field(set_by, AnyType(), "Set by the server; ignored.")
                for set_by in _SERVER_SET_FIELDS
            ),
        )
    )


def _document_type(kind: str, metadata: ObjectType, spec: ObjectType) -> ObjectType:
    is_session = kind == SESSION_KIND
    return ObjectType(
        (
            Field("apiVersion", choice(API_VERSION), "The version of the format.", required=True),
            Field("kind", choice(kind), "The kind of document.", required=True),
            Field("metadata", metadata, "Name, labels, annotations.", required=is_session),
            Field("spec", spec, "What is wanted."),
            Field("status", AnyType(), "Set by the platform; only a terminal phase is read."),
        )
    )


_BUDGET: Final = ObjectType(
    (
        Field(
            "percent", bounded_integer(0, 100), "The share of living sessions that may be hit.", 25
        ),
        Field(
            "atLeast", bounded_integer(0, 1_000_000), "The number that may be hit in any case.", 1
        ),
    )
)

_POLICY_SPEC: Final = ObjectType(
    (
        Field("installation", LABEL_NAME, "The id that marks every object as ours.", "default"),
        Field(
            "namespaces", ListType(LABEL_NAME, identity), "The only namespaces that may be touched."
        ),
        Field(
            "budgets",
            ObjectType(
                (
                    Field("deletes", _BUDGET, "Sessions that one revision may end."),
                    Field("restarts", _BUDGET, "Sessions that one revision may restart."),
                )
            ),
            "How much one revision may hit.",
        ),
        Field(
            "allowDeletes",
            ListType(SESSION_REF, identity),
            "Sessions that may end, over any budget.",
        ),
        Field("allowRestarts", ListType(SESSION_REF, identity), "Sessions that may be restarted."),
        Field("allowEmpty", BOOL, "Whether the last session may end.", default=False),
        Field(
            "onConflict",
            choice("heal", "report"),
            "What to do with a declared field that somebody else has changed.",
            "heal",
        ),
        Field(
            "mask",
            ListType(NAME_PATTERN, identity),
            "Names of variables whose values are never shown.",
        ),
    )
)

CAPABILITIES: Final = ObjectType(
    (
        Field(
            "sidecar",
            choice("native", "plain"),
            "How sidecars run: native needs Kubernetes 1.29.",
            "plain",
        ),
    )
)
"""What the cluster can do, as the installation declares it."""

_PROJECT_EXPORTED_FIELDS: Final = tuple(
    Field(name, AnyType(), "The platform's own.", warning=PLATFORM_ONLY)
    for name in (
        "groupAccess",
        "runnerSecretsName",
        "repositories",
        "inactivityTimeoutSeconds",
        "displayName",
        "description",
    )
)

_OPTIONAL_METADATA: Final = _metadata_type(OBJECT_NAME, required=False)

KINDS: Final[Mapping[str, ObjectType]] = {
    SESSION_KIND: _document_type(
        SESSION_KIND,
        _metadata_type(SESSION_NAME, required=True),
        ObjectType((*SESSION_SPEC.fields, *EXPORTED_FIELDS)),
    ),
    DEFAULTS_KIND: _document_type(
        DEFAULTS_KIND,
        _OPTIONAL_METADATA,
        ObjectType(
            (*SHARED_FIELDS, Field("capabilities", CAPABILITIES, "What the cluster can do."))
        ),
    ),
    PROJECT_KIND: _document_type(
        PROJECT_KIND, _OPTIONAL_METADATA, ObjectType((*SHARED_FIELDS, *_PROJECT_EXPORTED_FIELDS))
    ),
    POLICY_KIND: _document_type(POLICY_KIND, _OPTIONAL_METADATA, _POLICY_SPEC),
}
"""The table of each kind's whole document."""

SETTINGS: Final = ObjectType(SHARED_FIELDS)
POLICY_SPEC: Final = _POLICY_SPEC
