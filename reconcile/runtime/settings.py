"""The environment of the process; the only module that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


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
