"""The field tables of a session's `spec`: each field's type, description and default.

They include the storage of the workspace and the mirror that restores and stores it.
"""

from typing import Final

from reconcile.core.model import SessionState, UpdateStrategy
from reconcile.core.spec.agent_fields import (
    CREDENTIAL,
    LLM,
    MCP_SERVERS,
    REPO,
    USER,
    WORKFLOW,
    find_provider,
)
from reconcile.core.spec.field_types import (
    BOOL,
    PLATFORM_ONLY,
    AnyType,
    Field,
    ListType,
    MapType,
    ObjectType,
    bounded_integer,
    choice,
)
from reconcile.core.spec.formats import (
    AUDIENCE,
    BANDWIDTH,
    BUCKET,
    DURATION,
    ENDPOINT,
    FREE_TEXT,
    IMAGE,
    OBJECT_NAME,
    QUANTITY,
    REGION,
    SINGLE_LINE,
    VARIABLE,
)
from reconcile.core.spec.pod_fields import NETWORK, PORT, RUNNER, resources_type

_DAY: Final = 24 * 3600

STORAGE: Final = ObjectType(
    (
        Field(
            "mode",
            choice("shared", "custom", "none"),
            "Where the workspace is stored: the installation's bucket, the project's own bucket, "
            "or nowhere.",
            "none",
        ),
        Field("secretName", OBJECT_NAME, "With `custom`: the Secret with the S3 keys."),
        Field(
            "sharedSecretName",
            OBJECT_NAME,
            "With `shared`: the installation's Secret; each namespace has one, with a key of its "
            "own. Only `defaults.yaml` may set it.",
            is_reserved=True,
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
            "A ConfigMap whose `ca.crt` has the CA certificates to verify the S3 server with.",
        ),
        Field("size", QUANTITY, "The maximum size of the workspace.", "10Gi"),
    )
)
"""Where the workspace is stored."""

MIRROR: Final = ObjectType(
    (
        Field("port", PORT, "The port for the mirror's health, status and metrics.", 8091),
        Field(
            "resources",
            resources_type({"cpu": "100m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
            "CPU and memory of each mirror container.",
        ),
        Field(
            "intervalSeconds",
            bounded_integer(1, _DAY),
            "The longest time between snapshots while files keep changing; after a burst, changes "
            "are stored at once.",
            30,
        ),
        Field(
            "staleSeconds",
            bounded_integer(1, _DAY),
            "The pod is not ready if a change has not been stored for so many seconds.",
            90,
        ),
        Field(
            "flushSeconds",
            bounded_integer(1, 3600),
            "Seconds for the last flush; the pod's grace period is the runner's time plus this.",
            60,
        ),
        Field(
            "bandwidth",
            BANDWIDTH,
            "The maximum transfer rate per second, such as `20MiB`, until the pod terminates; "
            "unlimited if unset.",
        ),
        Field(
            "partial",
            choice("use", "refuse"),
            "Whether a session continues from its latest snapshot if that lacks files.",
            "use",
        ),
        Field(
            "maxFiles",
            bounded_integer(1000, 10_000_000),
            "The maximum number of files, directories and links to store; each costs memory.",
            250_000,
        ),
        Field(
            "exclude", ListType(SINGLE_LINE), "Files that are not stored, as gitignore patterns."
        ),
        Field(
            "defaultExcludes",
            BOOL,
            "Whether caches and similar files are excluded as well.",
            default=True,
        ),
        Field(
            "singleWriter",
            BOOL,
            "Allows a store without conditional writes; you must then make sure that only one pod "
            "writes at a time.",
            default=False,
        ),
    ),
    moved={
        "image": (
            IMAGE,
            (
                "is now the image of all our containers: remove it here, and add the line "
                "`image: {}` to `spec` of defaults.yaml"
            ),
        )
    },
)
"""The containers that restore and store the workspace."""

_UPDATE: Final = ObjectType(
    (
        Field(
            "strategy",
            choice(*(strategy.value for strategy in UpdateStrategy)),
            "When a change that ends running work is applied: after the session stops, or at once.",
            UpdateStrategy.WHEN_STOPPED.value,
        ),
    )
)

SHARED_FIELDS: Final = (
    Field(
        "image",
        IMAGE,
        "The image with `reconcile-runner` and `reconcile-mirror`; required if the workspace is "
        "stored, and without it the platform's runner gets neither clones nor a prompt. Only "
        "`defaults.yaml` may set it, since the image gets the keys of the store.",
        is_reserved=True,
    ),
    Field(
        "interactive",
        BOOL,
        "Whether the session waits for further messages; the platform's runner does not read it.",
        default=True,
    ),
    Field("llmSettings", LLM, "The model and how it answers."),
    Field(
        "timeout",
        bounded_integer(1, 2**31 - 1),
        "The time limit of one run, in seconds; the platform's runner does not read it.",
        300,
    ),
    Field(
        "inactivityTimeout",
        bounded_integer(0, 2**31 - 1),
        "Seconds without activity after which the session ends; 0 or nothing means never.",
    ),
    Field(
        "stopOnRunFinished",
        BOOL,
        "Whether the session ends when its run has finished.",
        default=False,
    ),
    Field(
        "onPrepareFailure",
        choice("Fail", "Continue"),
        "Whether the session begins if a repository or the workflow cannot be cloned.",
        "Fail",
    ),
    Field(
        "onInterruptedRun",
        choice("Wait", "Continue"),
        "What the next pod does after a run that was cut off: wait for a message, or ask the agent "
        "to go on.",
        "Wait",
    ),
    Field("maxDuration", DURATION, "The maximum lifetime of the pod: 90m, 8h, or seconds."),
    Field("repos", ListType(REPO), "Repositories that are cloned into the workspace."),
    Field("activeWorkflow", WORKFLOW, "The workflow that the runner follows."),
    Field(
        "environmentVariables", MapType(VARIABLE, FREE_TEXT), "Environment variables of the runner."
    ),
    Field(
        "credentials",
        ListType(CREDENTIAL, find_provider),
        "Credentials for git and the agent's tools, one for each provider.",
    ),
    Field(
        "autoPushOnComplete",
        BOOL,
        "Whether changes are pushed at the end; the platform's runner does not read it.",
        default=False,
    ),
    Field("runner", RUNNER, "The container in which the agent runs, and its pod."),
    Field("storage", STORAGE, "The workspace and where it is stored."),
    Field("mirror", MIRROR, "The containers that restore and store the workspace."),
    Field("network", NETWORK, "Network access to the session."),
    Field("update", _UPDATE, "How changes are applied to a running session."),
)
"""Fields that `defaults.yaml` and `project.yaml` may set for their sessions, too."""

SESSION_FIELDS: Final = (
    Field("displayName", SINGLE_LINE, "The session's display name."),
    Field("initialPrompt", FREE_TEXT, "The first prompt for the agent."),
    Field("userContext", USER, "The user for whom the session works."),
    Field(
        "state",
        choice(*(state.value for state in SessionState)),
        "Whether the session has a pod; all other objects are kept when it is Stopped.",
    ),
    Field("mcpServers", MCP_SERVERS, "The MCP servers of this session."),
    *SHARED_FIELDS,
)
"""The fields of a session's file."""

SESSION_SPEC: Final = ObjectType(
    (*SESSION_FIELDS, Field("projectMcpServers", MCP_SERVERS, "The MCP servers of the project."))
)
"""The fields of `session.spec` in templates."""

EXPORTED_FIELDS: Final = (
    Field("project", AnyType(), "The platform's project.", warning=PLATFORM_ONLY),
    Field("mainRepoName", AnyType(), "The platform's main repository.", warning=PLATFORM_ONLY),
    Field("mainRepoIndex", AnyType(), "The platform's main repository.", warning=PLATFORM_ONLY),
)
"""Further fields of sessions that the platform exports."""
