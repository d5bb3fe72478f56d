"""The environment of the process; the only module that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FORGE_TOKEN_VARIABLES: Final = frozenset(
    {
        "RECONCILE_TOKEN",
        "GITHUB_TOKEN",
        "GH_TOKEN",
        "GITHUB_ENTERPRISE_TOKEN",
        "GH_ENTERPRISE_TOKEN",
        "INPUT_TOKEN",
        "INPUT_GITHUB-TOKEN",
        "INPUT_GITHUB_TOKEN",
        "ACTIONS_RUNTIME_TOKEN",
        "GITLAB_TOKEN",
        "GITLAB_PRIVATE_TOKEN",
        "GITLAB_ACCESS_TOKEN",
        "CI_BUILD_TOKEN",
        "CI_JOB_TOKEN",
        "CI_DEPLOY_PASSWORD",
        "CI_REGISTRY_PASSWORD",
        "CI_DEPENDENCY_PROXY_PASSWORD",
        "CI_REPOSITORY_URL",
    }
)
"""Variables of GitHub and GitLab with a token or a URL that contains one."""


def build_child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Build the environment of a program that this one starts: git, a plugin, itself.

    It lacks the tokens of GitHub and GitLab, and its PATH has no folder that is relative to the
    working directory, which may be a checkout of untrusted files.
    """
    kept = {name: value for name, value in environ.items() if name not in FORGE_TOKEN_VARIABLES}
    path = ":".join(each for each in kept.pop("PATH", "").split(":") if each.startswith("/"))
    return {**kept, "PATH": path} if path else kept


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Settings from the environment.

    `no_color` is true if `$NO_COLOR` is set and not empty. `environ` is the whole environment, for
    finding a cluster and for the credential plugins of a kubeconfig.
    """

    no_color: bool
    environ: Mapping[str, str] = field(repr=False)


def read_process_settings() -> ProcessSettings:
    """Read the environment."""
    return ProcessSettings(no_color=bool(os.environ.get("NO_COLOR")), environ=dict(os.environ))
