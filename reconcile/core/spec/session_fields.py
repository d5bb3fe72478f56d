"""The field table of a session's `spec`: what may be written, what it means, what holds unset.

The field tables of a session's workspace: where it is kept, and what keeps it there.
"""

from typing import Final

from reconcile.core.model import SessionState, UpdateStrategy
from reconcile.core.spec.field_types import (
    BOOL,
    NO_EFFECT_YET,
    PLATFORM_ONLY,
    AnyType,
    Field,
    ListType,
    MapType,
    ObjectType,
    bounded_integer,
    bounded_number,
    choice,
)
from reconcile.core.spec.formats import (
    AUDIENCE,
    BANDWIDTH,
    BRANCH,
    BUCKET,
    DURATION,
    ENDPOINT,
    FREE_TEXT,
    GIT_URL,
    IMAGE,
    MODEL,
    OBJECT_NAME,
    QUANTITY,
    REGION,
    REPOSITORY_PATH,
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

MIRROR: Final = ObjectType(
    (
        Field("image", IMAGE, "The image with `reconcile-mirror`; needed where a mirror runs."),
        Field("port", PORT, "The port of its health, status and metrics.", 8091),
        Field(
            "resources",
            resources_type({"cpu": "100m", "memory": "128Mi"}, {"cpu": "1", "memory": "512Mi"}),
            "CPU and memory of each of its containers.",
        ),
        Field(
            "intervalSeconds",
            bounded_integer(1, _DAY),
            "How often what never rests is stored; after a burst it is stored at once.",
            30,
        ),
        Field(
            "staleSeconds",
            bounded_integer(1, _DAY),
            "The pod is not ready when a change is not stored for so long.",
            90,
        ),
        Field(
            "flushSeconds",
            bounded_integer(1, 3600),
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
            bounded_integer(1000, 10_000_000),
            "How many files, directories and links are stored at most; each costs memory.",
            250_000,
        ),
        Field("exclude", ListType(SINGLE_LINE), "What is not stored, in gitignore's syntax."),
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


_LLM: Final = ObjectType(
    (
        Field("model", MODEL, "The model's name.", "claude-3-7-sonnet-latest"),
        Field("temperature", bounded_number(0, 2), "How freely the model answers.", 0.7),
        Field("maxTokens", bounded_integer(1, 10_000_000), "The longest answer, in tokens.", 4000),
    )
)

_REPO: Final = ObjectType(
    (
        Field("url", GIT_URL, "What to clone: an https or ssh URL.", required=True),
        Field("branch", BRANCH, "The branch to check out.", "main"),
        Field(
            "autoPush", BOOL, "Whether the runner pushes this repository's changes.", default=False
        ),
    )
)

_WORKFLOW: Final = ObjectType(
    (
        Field("gitUrl", GIT_URL, "The repository that holds the workflow."),
        Field("branch", BRANCH, "The branch to check out.", "main"),
        Field("path", REPOSITORY_PATH, "The workflow's folder in the repository."),
    )
)

_USER: Final = ObjectType(
    (
        Field("userId", SINGLE_LINE, "Whom the session works for."),
        Field("displayName", SINGLE_LINE, "That user's name for people."),
        Field(
            "groups",
            ListType(SINGLE_LINE),
            "That user's groups.",
            warning=NO_EFFECT_YET,
            unless=([],),
        ),
    )
)

_UPDATE: Final = ObjectType(
    (
        Field(
            "strategy",
            choice(*(strategy.value for strategy in UpdateStrategy)),
            "When a change that ends running work is made: once the session stops, or at once.",
            UpdateStrategy.WHEN_STOPPED.value,
        ),
    )
)

SHARED_FIELDS: Final = (
    Field("interactive", BOOL, "Whether the session waits for further messages.", default=True),
    Field("llmSettings", _LLM, "The model and how it answers."),
    Field("timeout", bounded_integer(1, 2**31 - 1), "Seconds that the runner gives one run.", 300),
    Field(
        "inactivityTimeout",
        bounded_integer(0, 2**31 - 1),
        "Seconds without activity after which the session stops; 0 is never.",
        warning=NO_EFFECT_YET,
    ),
    Field(
        "stopOnRunFinished",
        BOOL,
        "Whether the session stops when its run has finished.",
        default=False,
        warning=NO_EFFECT_YET,
        unless=(False,),
    ),
    Field("maxDuration", DURATION, "How long the pod may live: 90m, 8h, or seconds."),
    Field("repos", ListType(_REPO), "Repositories that are cloned into the workspace."),
    Field("activeWorkflow", _WORKFLOW, "The workflow that the runner follows."),
    Field("environmentVariables", MapType(VARIABLE, FREE_TEXT), "Variables for the runner."),
    Field("autoPushOnComplete", BOOL, "Whether changes are pushed at the end.", default=False),
    Field("runner", RUNNER, "The container in which the agent runs, and its pod."),
    Field("storage", STORAGE, "The workspace and where it is kept."),
    Field("mirror", MIRROR, "What restores and stores the workspace, where it is kept."),
    Field("network", NETWORK, "Who may reach the session."),
    Field("update", _UPDATE, "How changes reach a running session."),
)
"""What installation and project may set for their sessions, too."""

SESSION_SPEC: Final = ObjectType(
    (
        Field("displayName", SINGLE_LINE, "The session's name for people."),
        Field("initialPrompt", FREE_TEXT, "What the agent is asked first."),
        Field("userContext", _USER, "The user for whom the session works."),
        Field(
            "state",
            choice(*(state.value for state in SessionState)),
            "Whether the session has a pod; Stopped keeps everything else.",
        ),
        *SHARED_FIELDS,
    )
)
"""All that a template sees as `session.spec`."""

EXPORTED_FIELDS: Final = (
    Field("project", AnyType(), "The platform's project.", warning=PLATFORM_ONLY),
    Field("mainRepoName", AnyType(), "The platform's main repository.", warning=PLATFORM_ONLY),
    Field("mainRepoIndex", AnyType(), "The platform's main repository.", warning=PLATFORM_ONLY),
)
"""What the platform's exports carry besides."""
