"""Options that commands of `reconcile-mirror` share, each declared once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
PATH_TYPE = click.Path(path_type=Path)


def combine_options(*options: Callable[[Any], Any]) -> Callable[[_F], _F]:
    """Make several options one decorator."""

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
    help="The mirror's own directory, in a volume that the agent does not mount.",
)

secret_options = combine_options(
    click.option(
        "--prefix", default="", help="Where in the bucket: NAMESPACE/SESSION. Must be given."
    ),
    click.option("--project-secret", default="", help="Folder of the project's mounted Secret."),
    click.option("--shared-secret", default="", help="Folder of the installation's Secret."),
    click.option("--token-file", default="", help="The pod's projected token, for web identity."),
    click.option("--ca-file", default="", help="Authorities to trust instead of the public ones."),
)

transfer_options = combine_options(
    click.option(
        "--transfers",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="How many packs are on their way at a time: memory and bandwidth.",
    ),
    click.option(
        "--retry-timeout",
        type=click.FloatRange(0, 3600),
        default=120.0,
        show_default=True,
        help="Seconds for which a request that failed is tried again.",
    ),
)

bandwidth_option = click.option(
    "--bandwidth",
    default="",
    help="Bytes a second, in both directions together, such as 20MiB; no bound if not given.",
)

exclude_options = combine_options(
    click.option(
        "--exclude",
        "excludes",
        multiple=True,
        help="A pattern in gitignore's syntax of what is left out; may be repeated.",
    ),
    click.option(
        "--default-excludes/--no-default-excludes",
        default=True,
        show_default=True,
        help="Leave out caches and the like.",
    ),
)

mirror_options = combine_options(
    click.option(
        "--workspace",
        type=PATH_TYPE,
        default=Path("/workspace"),
        show_default=True,
        help="The directory that is mirrored.",
    ),
    state_option,
    secret_options,
    click.option(
        "--single-writer",
        is_flag=True,
        help="Use a store without conditional writes: you make sure that there is one pod only.",
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
    help="The form of what is printed.",
)

status_server_options = combine_options(
    click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen."),
    click.option(
        "--port",
        type=click.IntRange(0, 65535),
        default=0,
        show_default=True,
        help="Port of /healthz, /readyz, /status and /metrics; 0 for none.",
    ),
    click.option(
        "--stale-after",
        type=click.FloatRange(0),
        default=90.0,
        show_default=True,
        help="Not ready when something is not committed for so many seconds.",
    ),
)
