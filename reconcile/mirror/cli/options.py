"""Options that several commands of `reconcile-mirror` share, each declared once."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
PATH_TYPE = click.Path(path_type=Path)
_MAX_SECONDS = 31_536_000.0
"""A year; the operating system cannot wait for much longer."""


class SecondsRange(click.FloatRange):
    """A finite number of seconds; every comparison with `nan` is false, so no range refuses it."""

    name = "seconds"

    def __init__(self, minimum: float, maximum: float = _MAX_SECONDS) -> None:
        super().__init__(minimum, maximum)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds; a usage error for other texts and numbers."""
        seconds = float(super().convert(value, param, ctx))
        if not math.isfinite(seconds):
            self.fail(f"{value!r} is not a finite number of seconds.", param, ctx)
        return seconds


def combine_options(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Combine several options into one decorator."""

    def decorate(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


state_option = click.option(
    "--state",
    type=PATH_TYPE,
    default=Path("/var/lib/reconcile-mirror"),
    show_default=True,
    help="Directory for the mirror's state, on a volume that the agent does not mount.",
)

secret_options = combine_options(
    click.option("--prefix", default="", help="Prefix in the bucket: NAMESPACE/SESSION. Required."),
    click.option("--project-secret", default="", help="Directory of the project's mounted Secret."),
    click.option(
        "--shared-secret", default="", help="Directory of the installation's mounted Secret."
    ),
    click.option(
        "--token-file", default="", help="File of the pod's projected token, for web identity."
    ),
    click.option(
        "--ca-file", default="", help="File of CA certificates to trust instead of the public ones."
    ),
)

transfer_options = combine_options(
    click.option(
        "--transfers",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="How many packs to transfer at a time: more need more memory and bandwidth.",
    ),
    click.option(
        "--retry-timeout",
        type=SecondsRange(0, 3600),
        default=120.0,
        show_default=True,
        help="Seconds for which a failed request is retried.",
    ),
)

bandwidth_option = click.option(
    "--bandwidth",
    default="",
    help="Limit in bytes a second, for both directions together, such as 20MiB. Default: no limit.",
)

exclude_options = combine_options(
    click.option(
        "--exclude",
        "excludes",
        multiple=True,
        help="Leave out paths that match this gitignore pattern; may be repeated.",
    ),
    click.option(
        "--default-excludes/--no-default-excludes",
        default=True,
        show_default=True,
        help="Leave out caches and similar files.",
    ),
    click.option(
        "--runner-state-dir",
        default=".claude",
        show_default=True,
        help="Directory in the workspace with the runner's conversation, which is never left out.",
    ),
)

mirror_options = combine_options(
    click.option(
        "--workspace",
        type=PATH_TYPE,
        default=Path("/workspace"),
        show_default=True,
        help="The directory to mirror.",
    ),
    state_option,
    secret_options,
    click.option(
        "--single-writer",
        is_flag=True,
        help="Allow a store without conditional writes: you make sure that only one pod writes.",
    ),
    transfer_options,
    bandwidth_option,
    exclude_options,
)

bucket_options = combine_options(secret_options, transfer_options)

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)

status_server_options = combine_options(
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        show_default=True,
        help="Port of /healthz, /readyz, /status and /metrics; 0 for none.",
    ),
    click.option(
        "--stale-after",
        type=SecondsRange(0),
        default=90.0,
        show_default=True,
        help="Report not ready if a change is not committed for so many seconds.",
    ),
)
