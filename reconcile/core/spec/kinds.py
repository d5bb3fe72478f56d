"""The field tables of every kind of document that desired state may hold."""

from collections.abc import Mapping
from typing import Final

from reconcile.core.spec.field_types import (
    BOOL,
    PLATFORM_ONLY,
    Anything,
    Entries,
    Field,
    Fields,
    Items,
    Scalar,
    choice,
    same,
    whole,
)
from reconcile.core.spec.formats import (
    FREE_TEXT,
    LABEL_KEY,
    LABEL_NAME,
    LABEL_VALUE,
    NAME,
    OBJECT_NAME,
    PATTERN,
    SESSION_REF,
)
from reconcile.core.spec.session_fields import EXPORTED, SESSION_SPEC, SHARED

API_VERSION: Final = "vteam.ambient-code/v1alpha1"
"""The version of every kind here: the platform's own."""

SESSION: Final = "AgenticSession"
DEFAULTS: Final = "SessionDefaults"
PROJECT: Final = "ProjectSettings"
POLICY: Final = "Policy"

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
"""What kubectl writes into exports; it repeats the whole object, and is left out."""

_SERVER_SET: Final = (
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


def _metadata(name: Scalar, *, required: bool) -> Fields:
    return Fields(
        (
            Field("name", name, "The object's name.", required=required),
            Field("namespace", LABEL_NAME, "The folder's name, if given at all."),
            Field("labels", Entries(LABEL_KEY, LABEL_VALUE), "Labels for the session's objects."),
            Field(
                "annotations",
                Entries(LABEL_KEY, FREE_TEXT),
                "Annotations for the session's objects.",
            ),
            *(Field(set_by, Anything(), "Set by the server; ignored.") for set_by in _SERVER_SET),
        )
    )


def _document(kind: str, metadata: Fields, spec: Fields) -> Fields:
    is_session = kind == SESSION
    return Fields(
        (
            Field("apiVersion", choice(API_VERSION), "The version of the format.", required=True),
            Field("kind", choice(kind), "The kind of document.", required=True),
            Field("metadata", metadata, "Name, labels, annotations.", required=is_session),
            Field("spec", spec, "What is wanted."),
            Field("status", Anything(), "Set by the platform; only a terminal phase is read."),
        )
    )


_BUDGET: Final = Fields(
    (
        Field("percent", whole(0, 100), "The share of living sessions that may be hit.", 25),
        Field("atLeast", whole(0, 1_000_000), "The number that may be hit in any case.", 1),
    )
)

_POLICY_SPEC: Final = Fields(
    (
        Field("installation", LABEL_NAME, "The id that marks every object as ours.", "default"),
        Field("namespaces", Items(LABEL_NAME, same), "The only namespaces that may be touched."),
        Field(
            "budgets",
            Fields(
                (
                    Field("deletes", _BUDGET, "Sessions that one revision may end."),
                    Field("restarts", _BUDGET, "Sessions that one revision may restart."),
                )
            ),
            "How much one revision may hit.",
        ),
        Field("allowDeletes", Items(SESSION_REF, same), "Sessions that may end, over any budget."),
        Field("allowRestarts", Items(SESSION_REF, same), "Sessions that may be restarted."),
        Field("allowEmpty", BOOL, "Whether the last session may end.", default=False),
        Field(
            "onConflict",
            choice("heal", "report"),
            "What to do with a declared field that somebody else has changed.",
            "heal",
        ),
        Field("mask", Items(PATTERN, same), "Names of variables whose values are never shown."),
    )
)

CAPABILITIES: Final = Fields(
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

_PROJECT_EXPORTED: Final = tuple(
    Field(name, Anything(), "The platform's own.", warning=PLATFORM_ONLY)
    for name in (
        "groupAccess",
        "runnerSecretsName",
        "repositories",
        "inactivityTimeoutSeconds",
        "displayName",
        "description",
    )
)

_PLAIN: Final = _metadata(OBJECT_NAME, required=False)

KINDS: Final[Mapping[str, Fields]] = {
    SESSION: _document(
        SESSION, _metadata(NAME, required=True), Fields((*SESSION_SPEC.fields, *EXPORTED))
    ),
    DEFAULTS: _document(
        DEFAULTS,
        _PLAIN,
        Fields((*SHARED, Field("capabilities", CAPABILITIES, "What the cluster can do."))),
    ),
    PROJECT: _document(PROJECT, _PLAIN, Fields((*SHARED, *_PROJECT_EXPORTED))),
    POLICY: _document(POLICY, _PLAIN, _POLICY_SPEC),
}
"""The table of each kind's whole document."""

SETTINGS: Final = Fields(SHARED)
POLICY_SPEC: Final = _POLICY_SPEC
