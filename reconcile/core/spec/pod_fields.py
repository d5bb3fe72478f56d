"""The field tables of a session's pod: its container, where it runs, who may reach it."""

from collections.abc import Mapping
from typing import Any, Final

from reconcile.core.spec.field_types import BOOL, Entries, Field, Fields, Items, choice, same, whole
from reconcile.core.spec.formats import (
    ENVIRONMENT_NAME,
    FREE_TEXT,
    IMAGE,
    KEY,
    LABEL_NAME,
    LABEL_VALUE,
    OBJECT_NAME,
    QUANTITY,
)

PORT: Final = whole(1, 65_535)
_AMOUNTS: Final = Entries(KEY, QUANTITY)


def _one_source(item: Mapping[str, Any]) -> str:
    is_one = len({"secretRef", "configMapRef"} & item.keys()) == 1
    return "" if is_one else "must have either `secretRef` or `configMapRef`"


def _toleration_reason(item: Mapping[str, Any]) -> str:
    exists = item.get("operator") == "Exists"
    if exists and item.get("value"):
        return "must not have `value` when `operator` is Exists"
    if not item.get("key") and not exists:
        return "must have `key`, or `operator: Exists` for every taint"
    if "tolerationSeconds" in item and item.get("effect") != "NoExecute":
        return "must have `effect: NoExecute` when `tolerationSeconds` is set"
    return ""


def _peer_reason(item: Mapping[str, Any]) -> str:
    if "namespace" in item and item.get("namespaceLabels"):
        return "must not have both `namespace` and `namespaceLabels`"
    is_named = "namespace" in item or item.get("namespaceLabels") or item.get("podLabels")
    return "" if is_named else "must have `namespace`, `namespaceLabels` or `podLabels`"


_REFERENCE: Final = Fields(
    (
        Field("name", OBJECT_NAME, "The object's name.", required=True),
        Field("optional", BOOL, "Whether the pod starts without it."),
    ),
    as_written=True,
)

_ENV_FROM: Final = Fields(
    (
        Field("secretRef", _REFERENCE, "A Secret whose keys become variables."),
        Field("configMapRef", _REFERENCE, "A ConfigMap whose keys become variables."),
        Field("prefix", ENVIRONMENT_NAME, "What is put before each key."),
    ),
    _one_source,
    as_written=True,
)

_TOLERATION: Final = Fields(
    (
        Field("key", KEY, "The taint's key."),
        Field("operator", choice("Equal", "Exists"), "How the taint's value is compared."),
        Field("value", LABEL_VALUE, "The taint's value."),
        Field("effect", choice("NoSchedule", "PreferNoSchedule", "NoExecute"), "Which effect."),
        Field("tolerationSeconds", whole(0, 2**31 - 1), "How long NoExecute is borne."),
    ),
    _toleration_reason,
    as_written=True,
)


def resources(requests: Mapping[str, str], limits: Mapping[str, str]) -> Fields:
    """A container's resources, with what holds where nothing is set."""
    return Fields(
        (
            Field("requests", _AMOUNTS, "What is set aside.", requests),
            Field("limits", _AMOUNTS, "What is the most.", limits),
        )
    )


_RESOURCES: Final = resources({"cpu": "500m", "memory": "512Mi"}, {"cpu": "2", "memory": "8Gi"})

RUNNER: Final = Fields(
    (
        Field(
            "image",
            IMAGE,
            "The runner's image.",
            "quay.io/ambient_code/vteam_claude_runner:latest",
        ),
        Field("command", Items(FREE_TEXT), "What is run in place of the image's entry point."),
        Field("args", Items(FREE_TEXT), "The arguments in place of the image's."),
        Field("port", PORT, "The port that the runner listens on.", 8001),
        Field("resources", _RESOURCES, "CPU, memory and other resources."),
        Field("envFrom", Items(_ENV_FROM), "Secrets and ConfigMaps that become variables."),
        Field("imagePullSecrets", Items(OBJECT_NAME, same), "Secrets to pull the image with."),
        Field("nodeSelector", Entries(KEY, LABEL_VALUE), "Labels that the node must have."),
        Field("tolerations", Items(_TOLERATION), "Taints that the pod bears."),
        Field("priorityClassName", OBJECT_NAME, "The pod's priority class."),
        Field(
            "terminationGracePeriodSeconds",
            whole(1, 24 * 3600),
            "Seconds from the request to end until the pod is killed.",
            60,
        ),
        Field(
            "serviceAccountToken",
            BOOL,
            "Whether the pod is given a token for the Kubernetes API.",
            default=False,
        ),
    )
)
"""The runner's container and its pod."""

_PEER: Final = Fields(
    (
        Field("namespace", LABEL_NAME, "A namespace; the session's own where none is given."),
        Field("namespaceLabels", Entries(KEY, LABEL_VALUE), "Labels of namespaces."),
        Field("podLabels", Entries(KEY, LABEL_VALUE), "Labels of pods; all pods where unset."),
        Field("port", PORT, "The port; the runner's where unset."),
    ),
    _peer_reason,
)

NETWORK: Final = Fields(
    (Field("allowFrom", Items(_PEER), "Who may open connections to the session; else nobody."),)
)
"""What the network policy admits."""
