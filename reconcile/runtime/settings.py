"""The only reader of the environment."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says.

    `kubeconfig` is `$KUBECONFIG`, which may name several files. `no_color` follows `$NO_COLOR`: set
    to anything but nothing, output is not coloured.
    """

    kubeconfig: str
    no_color: bool


def settings() -> Settings:
    """Read the environment."""
    return Settings(
        kubeconfig=os.environ.get("KUBECONFIG", ""),
        no_color=bool(os.environ.get("NO_COLOR")),
    )
