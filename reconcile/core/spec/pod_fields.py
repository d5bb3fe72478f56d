"""The field tables of a session's pod: its container, scheduling and network access."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.spec.agent_fields import find_whole_secret_error
from reconcile.core.spec.field_types import (
    BOOL,
    Field,
    ListType,
    MapType,
    ObjectType,
    bounded_integer,
    choice,
    identity,
)
from reconcile.core.spec.formats import (
    ENVIRONMENT_NAME,
    FREE_TEXT,
    HOME,
    IMAGE,
    LABEL_NAME,
    LABEL_VALUE,
    OBJECT_NAME,
    QUALIFIED_NAME,
    QUANTITY,
    STATE_DIR,
)

PORT: Final = bounded_integer(1, 65_535)
_RESOURCE_AMOUNTS: Final = MapType(QUALIFIED_NAME, QUANTITY)


def _find_source_error(item: Mapping[str, Any]) -> str:
    if len({"secretRef", "configMapRef"} & item.keys()) != 1:
        return "must have either `secretRef` or `configMapRef`"
    secret = item.get("secretRef")
    return find_whole_secret_error(secret.get("name")) if isinstance(secret, dict) else ""


def _find_toleration_error(item: Mapping[str, Any]) -> str:
    exists = item.get("operator") == "Exists"
    if exists and item.get("value"):
        return "must not have `value` when `operator` is Exists"
    if not item.get("key") and not exists:
        return "must have `key`, or `operator: Exists` for every taint"
    if "tolerationSeconds" in item and item.get("effect") != "NoExecute":
        return "must have `effect: NoExecute` when `tolerationSeconds` is set"
    return ""


def _find_peer_error(item: Mapping[str, Any]) -> str:
    if "namespace" in item and item.get("namespaceLabels"):
        return "must not have both `namespace` and `namespaceLabels`"
    is_named = "namespace" in item or item.get("namespaceLabels") or item.get("podLabels")
    return "" if is_named else "must have `namespace`, `namespaceLabels` or `podLabels`"


_REFERENCE: Final = ObjectType(
    (
        Field("name", OBJECT_NAME, "The object's name.", required=True),
        Field("optional", BOOL, "Whether the pod starts without it."),
    ),
    is_passthrough=True,
)

_ENV_FROM: Final = ObjectType(
    (
        Field("secretRef", _REFERENCE, "A Secret whose keys become variables."),
        Field("configMapRef", _REFERENCE, "A ConfigMap whose keys become variables."),
        Field("prefix", ENVIRONMENT_NAME, "A prefix for each key."),
    ),
    _find_source_error,
    is_passthrough=True,
)

_TOLERATION: Final = ObjectType(
    (
        Field("key", QUALIFIED_NAME, "The taint key to match."),
        Field("operator", choice("Equal", "Exists"), "How the taint's value is compared."),
        Field("value", LABEL_VALUE, "The taint value to match."),
        Field("effect", choice("NoSchedule", "PreferNoSchedule", "NoExecute"), "The taint effect."),
        Field(
            "tolerationSeconds",
            bounded_integer(0, 2**31 - 1),
            "How long NoExecute is tolerated, in seconds.",
        ),
    ),
    _find_toleration_error,
    is_passthrough=True,
)


def resources_type(requests: Mapping[str, str], limits: Mapping[str, str]) -> ObjectType:
    """A container's resources, with its defaults."""
    return ObjectType(
        (
            Field("requests", _RESOURCE_AMOUNTS, "The requests.", requests),
            Field("limits", _RESOURCE_AMOUNTS, "The limits.", limits),
        )
    )


_RESOURCES: Final = resources_type(
    {"cpu": "500m", "memory": "512Mi"}, {"cpu": "2", "memory": "8Gi"}
)

RUNNER: Final = ObjectType(
    (
        Field(
            "image",
            IMAGE,
            "The runner's image.",
            "quay.io/ambient_code/vteam_claude_runner:latest",
        ),
        Field("command", ListType(FREE_TEXT), "Replaces the image's entry point."),
        Field("args", ListType(FREE_TEXT), "Replaces the image's arguments."),
        Field(
            "protocol",
            choice("ag-ui", "none"),
            "What the runner offers: `ag-ui`, the API of the platform's runners, or `none`: then "
            "prompt and inputs are files, and the session ends when the container does.",
            "ag-ui",
        ),
        Field("home", HOME, "The home directory of the runner's user.", "/app"),
        Field(
            "stateDir",
            STATE_DIR,
            "The folder of the workspace, and of `home`, in which the runner keeps its "
            "conversation; by default what the variable `RUNNER_STATE_DIR` says, `.gemini` for the "
            "`RUNNER_TYPE` `gemini-cli`, else `.claude`.",
        ),
        Field(
            "caConfigMapName",
            OBJECT_NAME,
            "A ConfigMap whose `ca-bundle.crt` has the CA certificates for git and the runner.",
        ),
        Field(
            "preStop",
            ListType(FREE_TEXT),
            "Replaces the command that runs in the runner's container before it is stopped.",
        ),
        Field("port", PORT, "The port that the runner listens on.", 8001),
        Field("resources", _RESOURCES, "CPU, memory and other resources."),
        Field(
            "envFrom",
            ListType(_ENV_FROM),
            "Secrets and ConfigMaps that become variables; the templates have precedence.",
        ),
        Field(
            "imagePullSecrets", ListType(OBJECT_NAME, identity), "Secrets to pull the image with."
        ),
        Field(
            "nodeSelector", MapType(QUALIFIED_NAME, LABEL_VALUE), "Labels that the node must have."
        ),
        Field("tolerations", ListType(_TOLERATION), "Taints that the pod tolerates."),
        Field("priorityClassName", OBJECT_NAME, "The pod's priority class."),
        Field(
            "terminationGracePeriodSeconds",
            bounded_integer(1, 24 * 3600),
            "The time that the runner has to stop before it is killed, in seconds.",
            60,
        ),
        Field(
            "serviceAccountToken",
            BOOL,
            "Whether a token for the Kubernetes API is mounted into the pod.",
            default=False,
        ),
    )
)
"""The runner's container and its pod."""

_PEER: Final = ObjectType(
    (
        Field("namespace", LABEL_NAME, "A namespace; the session's own if unset."),
        Field("namespaceLabels", MapType(QUALIFIED_NAME, LABEL_VALUE), "Labels of namespaces."),
        Field(
            "podLabels",
            MapType(QUALIFIED_NAME, LABEL_VALUE),
            "Labels of pods; all pods if unset.",
        ),
        Field("port", PORT, "The port; the runner's if unset."),
    ),
    _find_peer_error,
)

NETWORK: Final = ObjectType(
    (
        Field(
            "allowFrom",
            ListType(_PEER),
            "Who may open connections to the session; by default none are allowed.",
        ),
    )
)
"""The connections that the network policy allows."""
