"""The field tables of a session's workspace: where it is kept, and what keeps it there."""

from typing import Final

from reconcile.core.spec.field_types import BOOL, Field, Fields, Items, choice, whole
from reconcile.core.spec.formats import (
    AUDIENCE,
    BANDWIDTH,
    BUCKET,
    ENDPOINT,
    IMAGE,
    LINE,
    OBJECT_NAME,
    QUANTITY,
    REGION,
)
from reconcile.core.spec.pod_fields import PORT, resources

_DAY: Final = 24 * 3600

STORAGE: Final = Fields(
    (
        Field(
            "mode",
            choice("shared", "custom", "none"),
            "Where the workspace is kept: the installation's bucket, one's own, or nowhere.",
            "none",
        ),
        Field("secretName", OBJECT_NAME, "With `custom`: the Secret with S3 keys."),
        Field(
            "sharedSecretName",
            OBJECT_NAME,
            "With `shared`: the installation's Secret; each namespace has one, with a key of its "
            "own. For `defaults.yaml`.",
        ),
        Field("bucket", BUCKET, "With `custom`: the S3 bucket, instead of the Secret's."),
        Field("endpoint", ENDPOINT, "With `custom`: the S3 server's URL, instead of the Secret's."),
        Field("region", REGION, "With `custom`: the S3 region, instead of the Secret's."),
        Field(
            "tokenAudience",
            AUDIENCE,
            "Web identity instead of keys: the audience of the token that is exchanged for them.",
        ),
        Field(
            "caConfigMapName",
            OBJECT_NAME,
            "A ConfigMap whose `ca.crt` has the authorities that the S3 server is trusted by.",
        ),
        Field("size", QUANTITY, "The most that the workspace may hold.", "10Gi"),
    )
)
"""Where the workspace is kept."""

MIRROR: Final = Fields(
    (
        Field("image", IMAGE, "The image with `reconcile-mirror`; needed where a mirror runs."),
        Field("port", PORT, "The port of its health, status and metrics.", 8091),
        Field(
            "resources",
            resources({"cpu": "100m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
            "CPU and memory of each of its containers.",
        ),
        Field(
            "intervalSeconds",
            whole(1, _DAY),
            "How often what never rests is stored; after a burst it is stored at once.",
            30,
        ),
        Field(
            "staleSeconds",
            whole(1, _DAY),
            "The pod is not ready when a change is not stored for so long.",
            90,
        ),
        Field(
            "flushSeconds",
            whole(1, 3600),
            "Time for the last flush; the pod's grace period is the runner's time and this.",
            60,
        ),
        Field(
            "bandwidth",
            BANDWIDTH,
            "The most that it sends and fetches, such as `20MiB` a second, until the pod ends; "
            "no bound if unset.",
        ),
        Field(
            "partial",
            choice("use", "refuse"),
            "Whether a session goes on from a last snapshot that lacks files.",
            "use",
        ),
        Field(
            "maxFiles",
            whole(1000, 10_000_000),
            "How many files, directories and links are stored at most; each costs memory.",
            250_000,
        ),
        Field("exclude", Items(LINE), "What is not stored, in gitignore's syntax."),
        Field(
            "defaultExcludes",
            BOOL,
            "Whether caches and the like are left out as well.",
            default=True,
        ),
        Field(
            "singleWriter",
            BOOL,
            "Use a store without conditional writes: one pod at a time is then your promise.",
            default=False,
        ),
    )
)
"""The containers that restore and store the workspace."""
