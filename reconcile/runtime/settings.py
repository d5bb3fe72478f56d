"""The only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """What the environment says.

    `no_color` follows `$NO_COLOR`: set to anything but nothing, output is not coloured. `environ`
    is all of it, for finding a cluster and for the credential plugins that a kubeconfig may name.
    """

    no_color: bool
    environ: Mapping[str, str] = field(repr=False)


def read_process_settings() -> ProcessSettings:
    """Read the environment."""
    return ProcessSettings(no_color=bool(os.environ.get("NO_COLOR")), environ=dict(os.environ))
