"""The commands that bring a workspace in and out: `import`, `export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile.mirror.cli.history import at_option, opened, say
from reconcile.mirror.cli.options import FOLDER, bucket_options, exclude_options
from reconcile.mirror.exit_codes import Exit

if TYPE_CHECKING:
    from reconcile.mirror.import_export.importer import Source


@click.command(name="import")
@bucket_options
@exclude_options
@click.option("--from-directory", type=FOLDER, help="A directory, such as a mounted volume.")
@click.option(
    "--from-prefix",
    default="",
    help="NAMESPACE/SESSION of the platform's own layout, one object for each file.",
)
@click.option(
    "--from-secret",
    default="",
    help="Folder of a Secret with the storage of --from-prefix, if it is another one.",
)
@click.option(
    "--staging",
    type=FOLDER,
    help="Where objects become files first: a directory with room for all. $TMPDIR if not given.",
)
@click.option(
    "--replace", is_flag=True, help="Make it the next generation of a session that exists."
)
def bring_in(
    from_directory: Path | None,
    from_prefix: str,
    replace: bool,  # noqa: FBT001 - click calls it by name
    **options: Any,
) -> int:
    """Make a directory or an old prefix the first generation of a session."""
    from reconcile.mirror.import_export.importer import bring, told
    from reconcile.mirror.wiring import patterns_of

    source = _source(from_directory, from_prefix, options)
    excludes = patterns_of(options.pop("excludes"), default=options.pop("default_excludes"))
    brought = bring(opened(options), source, excludes, replace=replace)
    say(told(brought))
    return Exit.INCOMPLETE if brought.is_incomplete else Exit.OK


def _source(directory: Path | None, prefix: str, options: dict[str, Any]) -> "Source":
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.import_export.importer import FromDirectory, FromPrefix

    secret, staging = options.pop("from_secret"), options.pop("staging")
    if (directory is None) == (not prefix):
        raise SettingsError("give either --from-directory or --from-prefix")
    if directory is not None:
        return FromDirectory(directory)
    other = {**options, "prefix": prefix}
    for name in ("excludes", "default_excludes"):
        other.pop(name)
    if secret:
        other["project_secret"] = secret
    return FromPrefix(opened(other).store, staging)


@click.command()
@bucket_options
@at_option
@click.option(
    "--tar", "tar", default="", help="Write a tar file in PAX form; - is standard output."
)
@click.option(
    "--to-prefix",
    default="",
    help="NAMESPACE/SESSION below which each file becomes one object; it must be empty.",
)
def export(at: str, tar: str, to_prefix: str, **options: Any) -> int:
    """Write a generation as a tar file, or as one object for each file."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.import_export import exporter
    from reconcile.mirror.wiring import prefix_of

    if bool(tar) == bool(to_prefix):
        raise SettingsError("give either --tar or --to-prefix")
    store = opened(options).store
    if tar:
        click.echo(exporter.to_tar(store, at, tar), err=tar == "-")
        return Exit.OK
    own, other = prefix_of(options["prefix"]), prefix_of(to_prefix)
    if own.startswith(other) or other.startswith(own):
        raise SettingsError(f"--to-prefix {to_prefix!r} is that of the session itself")
    done = exporter.to_objects(store, at, opened({**options, "prefix": to_prefix}).store)
    say(exporter.told(done))
    return Exit.INCOMPLETE if done.refused or done.links else Exit.OK


COMMANDS = (bring_in, export)
