"""The field table of a session's `spec`: what may be written, what it means, what holds unset."""

from typing import Final

from reconcile.core.model import State, Strategy
from reconcile.core.spec.field_types import (
    BOOL,
    NO_EFFECT_YET,
    PLATFORM_ONLY,
    Anything,
    Entries,
    Field,
    Fields,
    Items,
    choice,
    number,
    whole,
)
from reconcile.core.spec.formats import DURATION, FREE_TEXT, LINE, MODEL, VARIABLE
from reconcile.core.spec.gitnames import BRANCH, GIT_URL, REPOSITORY_PATH
from reconcile.core.spec.pod_fields import NETWORK, RUNNER
from reconcile.core.spec.storagefields import MIRROR, STORAGE

_LLM: Final = Fields(
    (
        Field("model", MODEL, "The model's name.", "claude-3-7-sonnet-latest"),
        Field("temperature", number(0, 2), "How freely the model answers.", 0.7),
        Field("maxTokens", whole(1, 10_000_000), "The longest answer, in tokens.", 4000),
    )
)

_REPO: Final = Fields(
    (
        Field("url", GIT_URL, "What to clone: an https or ssh URL.", required=True),
        Field("branch", BRANCH, "The branch to check out.", "main"),
        Field(
            "autoPush", BOOL, "Whether the runner pushes this repository's changes.", default=False
        ),
    )
)

_WORKFLOW: Final = Fields(
    (
        Field("gitUrl", GIT_URL, "The repository that holds the workflow."),
        Field("branch", BRANCH, "The branch to check out.", "main"),
        Field("path", REPOSITORY_PATH, "The workflow's folder in the repository."),
    )
)

_USER: Final = Fields(
    (
        Field("userId", LINE, "Whom the session works for."),
        Field("displayName", LINE, "That user's name for people."),
        Field("groups", Items(LINE), "That user's groups.", warning=NO_EFFECT_YET, unless=([],)),
    )
)

_UPDATE: Final = Fields(
    (
        Field(
            "strategy",
            choice(*(strategy.value for strategy in Strategy)),
            "When a change that ends running work is made: once the session stops, or at once.",
            Strategy.WHEN_STOPPED.value,
        ),
    )
)

SHARED: Final = (
    Field("interactive", BOOL, "Whether the session waits for further messages.", default=True),
    Field("llmSettings", _LLM, "The model and how it answers."),
    Field("timeout", whole(1, 2**31 - 1), "Seconds that the runner gives one run.", 300),
    Field(
        "inactivityTimeout",
        whole(0, 2**31 - 1),
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
    Field("repos", Items(_REPO), "Repositories that are cloned into the workspace."),
    Field("activeWorkflow", _WORKFLOW, "The workflow that the runner follows."),
    Field("environmentVariables", Entries(VARIABLE, FREE_TEXT), "Variables for the runner."),
    Field("autoPushOnComplete", BOOL, "Whether changes are pushed at the end.", default=False),
    Field("runner", RUNNER, "The container in which the agent runs, and its pod."),
    Field("storage", STORAGE, "The workspace and where it is kept."),
    Field("mirror", MIRROR, "What restores and stores the workspace, where it is kept."),
    Field("network", NETWORK, "Who may reach the session."),
    Field("update", _UPDATE, "How changes reach a running session."),
)
"""What installation and project may set for their sessions, too."""

SESSION_SPEC: Final = Fields(
    (
        Field("displayName", LINE, "The session's name for people."),
        Field("initialPrompt", FREE_TEXT, "What the agent is asked first."),
        Field("userContext", _USER, "The user for whom the session works."),
        Field(
            "state",
            choice(*(state.value for state in State)),
            "Whether the session has a pod; Stopped keeps everything else.",
        ),
        *SHARED,
    )
)
"""All that a template sees as `session.spec`."""

EXPORTED: Final = (
    Field("project", Anything(), "The platform's project.", warning=PLATFORM_ONLY),
    Field("mainRepoName", Anything(), "The platform's main repository.", warning=PLATFORM_ONLY),
    Field("mainRepoIndex", Anything(), "The platform's main repository.", warning=PLATFORM_ONLY),
)
"""What the platform's exports carry besides."""
