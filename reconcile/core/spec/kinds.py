"""The field tables of every kind of document in the desired tree."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from reconcile.core.spec.agent_fields import MCP_SERVERS, find_whole_secret_error
from reconcile.core.spec.bounds import ALLOW
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
from reconcile.core.spec.session_fields import EXPORTED_FIELDS, SESSION_FIELDS, SHARED_FIELDS

API_VERSION: Final = "vteam.ambient-code/v1alpha1"
"""The version of every kind, as the platform defines it."""

SESSION_KIND: Final = "AgenticSession"
DEFAULTS_KIND: Final = "SessionDefaults"
PROJECT_KIND: Final = "ProjectSettings"
POLICY_KIND: Final = "Policy"

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which kubectl repeats the whole object; it is ignored."""

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


_METADATA_ELSEWHERE: Final = (
    "has no effect here: defaults.yaml has the labels and annotations for all objects"
)


def _metadata_type(
    name: Scalar, objects: str, *, required: bool = False, warning: str = ""
) -> ObjectType:
    """Build the table of `metadata`; `objects` says which ones get labels and annotations."""
    return ObjectType(
        (
            Field("name", name, "The object's name.", required=required),
            Field("namespace", LABEL_NAME, "The folder's name; optional."),
            Field(
                "labels",
                MapType(LABEL_KEY, LABEL_VALUE),
                f"Labels for {objects}.",
                warning=warning,
                unless=({},),
            ),
            Field(
                "annotations",
                MapType(LABEL_KEY, FREE_TEXT),
                f"Annotations for {objects}.",
                warning=warning,
                unless=({},),
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
            Field("spec", spec, "The desired state."),
            Field("status", AnyType(), "Set by the platform; only a terminal phase is read."),
        )
    )


_BUDGET: Final = ObjectType(
    (
        Field(
            "percent",
            bounded_integer(0, 100),
            "The percentage of existing sessions that one revision may affect.",
            25,
        ),
        Field(
            "atLeast",
            bounded_integer(0, 1_000_000),
            "The number of sessions that one revision may affect in any case.",
            1,
        ),
    )
)

_POLICY_SPEC: Final = ObjectType(
    (
        Field(
            "installation",
            LABEL_NAME,
            "The id of the installation, a label on every object.",
            "default",
        ),
        Field(
            "namespaces",
            ListType(LABEL_NAME, identity),
            "The managed namespaces; by default, those that have a folder.",
        ),
        Field(
            "budgets",
            ObjectType(
                (
                    Field("deletes", _BUDGET, "Sessions that one revision may delete."),
                    Field("restarts", _BUDGET, "Sessions that one revision may restart."),
                )
            ),
            "How many sessions one revision may delete or restart.",
        ),
        Field(
            "allowDeletes",
            ListType(SESSION_REF, identity),
            "Sessions that may be deleted regardless of the budget.",
        ),
        Field(
            "allowRestarts",
            ListType(SESSION_REF, identity),
            "Sessions that may be restarted, even if they are at work.",
        ),
        Field("allowEmpty", BOOL, "Whether the last session may be deleted.", default=False),
        Field(
            "onConflict",
            choice("heal", "report"),
            "What to do with a declared field that another manager has changed.",
            "heal",
        ),
        Field("allow", ALLOW, "What session files and templates may ask for."),
        Field(
            "mask",
            ListType(NAME_PATTERN, identity),
            "Names of variables whose values are never shown, such as `*_DSN`.",
        ),
    )
)

CAPABILITIES: Final = ObjectType(
    (
        Field(
            "sidecar",
            choice("native", "plain"),
            "How sidecars run; native requires Kubernetes 1.29.",
            "plain",
        ),
        Field(
            "userIds",
            choice("fixed", "assigned"),
            "Whether pods name the user and groups that they run as, or the cluster assigns them, "
            "as OpenShift does.",
            "fixed",
        ),
    )
)
"""What the cluster can do, as the installation declares it."""

_RUNNER_SECRET: Final = replace(
    OBJECT_NAME,
    find_error=lambda name: OBJECT_NAME.find_error(name) or find_whole_secret_error(name),
)

_PROJECT_FIELDS: Final = (
    Field("mcpServers", MCP_SERVERS, "The MCP servers of all sessions of the namespace."),
    Field(
        "runnerSecretsName",
        _RUNNER_SECRET,
        "A Secret whose keys become variables of the runner, in addition to `runner.envFrom`.",
    ),
    Field(
        "inactivityTimeoutSeconds",
        bounded_integer(0, 2**31 - 1),
        "The `inactivityTimeout` as the platform exports it; `inactivityTimeout` has precedence.",
    ),
    *(
        Field(name, AnyType(), "Used by the platform only.", warning=PLATFORM_ONLY)
        for name in ("groupAccess", "repositories", "displayName", "description")
    ),
)

_UNUSED_METADATA: Final = _metadata_type(
    OBJECT_NAME, "this object on the platform", warning=_METADATA_ELSEWHERE
)

KINDS: Final[Mapping[str, ObjectType]] = {
    SESSION_KIND: _document_type(
        SESSION_KIND,
        _metadata_type(SESSION_NAME, "the session's objects", required=True),
        ObjectType((*SESSION_FIELDS, *EXPORTED_FIELDS)),
    ),
    DEFAULTS_KIND: _document_type(
        DEFAULTS_KIND,
        _metadata_type(OBJECT_NAME, "all objects, the Records and the inventory too"),
        ObjectType(
            (*SHARED_FIELDS, Field("capabilities", CAPABILITIES, "What the cluster can do."))
        ),
    ),
    PROJECT_KIND: _document_type(
        PROJECT_KIND, _UNUSED_METADATA, ObjectType((*SHARED_FIELDS, *_PROJECT_FIELDS))
    ),
    POLICY_KIND: _document_type(POLICY_KIND, _UNUSED_METADATA, _POLICY_SPEC),
}
"""The table of each kind's whole document."""

SETTINGS: Final = ObjectType(SHARED_FIELDS)
POLICY_SPEC: Final = _POLICY_SPEC
