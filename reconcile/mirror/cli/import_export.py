"""The commands that copy a workspace into the store and out of it: `import`, `export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconcile.mirror.cli.history import at_option, echo_lines, open_store_from_options
from reconcile.mirror.cli.options import PATH_TYPE, bucket_options, exclude_options
from reconcile.mirror.exit_codes import MirrorExitCode

if TYPE_CHECKING:
    from reconcile.mirror.import_export.importer import ImportSource


@click.command(name="import")
@bucket_options
@exclude_options
@click.option("--from-directory", type=PATH_TYPE, help="A directory, such as a mounted volume.")
@click.option(
    "--from-prefix",
    default="",
    help="NAMESPACE/SESSION in the platform's own layout, with one object for each file.",
)
@click.option(
    "--from-secret",
    default="",
    help="Directory of the Secret for the storage of --from-prefix, if it is another storage.",
)
@click.option(
    "--staging",
    type=PATH_TYPE,
    help="Directory to download the objects to; it must have space for all. Default: $TMPDIR.",
)
@click.option(
    "--replace", is_flag=True, help="Import as the next generation of a session that exists."
)
def import_command(
    from_directory: Path | None,
    from_prefix: str,
    replace: bool,  # noqa: FBT001 - click calls it by name
    **options: Any,
) -> int:
    """Import a directory or an old prefix as the first generation of a session."""
    from reconcile.mirror.import_export.importer import format_import_result, import_workspace
    from reconcile.mirror.wiring import build_excludes

    source = _build_source(from_directory, from_prefix, options)
    excludes = build_excludes(
        options.pop("excludes"),
        options.pop("runner_state_dir"),
        default=options.pop("default_excludes"),
    )
    result = import_workspace(open_store_from_options(options), source, excludes, replace=replace)
    echo_lines(format_import_result(result))
    return MirrorExitCode.INCOMPLETE if result.is_incomplete else MirrorExitCode.OK


def _build_source(directory: Path | None, prefix: str, options: dict[str, Any]) -> "ImportSource":
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.import_export.importer import DirectoryImportSource, PrefixImportSource

    secret, staging = options.pop("from_secret"), options.pop("staging")
    if (directory is None) == (not prefix):
        raise SettingsError("give either --from-directory or --from-prefix")
    if directory is not None:
        return DirectoryImportSource(directory)
    source_options = {**options, "prefix": prefix}
    for name in ("excludes", "default_excludes", "runner_state_dir"):
        source_options.pop(name)
    if secret:
        source_options["project_secret"] = secret
    return PrefixImportSource(open_store_from_options(source_options).store, staging)


@click.command()
@bucket_options
@at_option
@click.option(
    "--tar", "tar", default="", help="Write a tar file in PAX format; - is standard output."
)
@click.option(
    "--to-prefix",
    default="",
    help="Write each file as one object below this NAMESPACE/SESSION, which must be empty.",
)
def export(at: str, tar: str, to_prefix: str, **options: Any) -> int:
    """Write a generation as a tar file, or as one object for each file."""
    from reconcile.mirror.errors import SettingsError
    from reconcile.mirror.import_export import exporter
    from reconcile.mirror.wiring import normalize_prefix

    if bool(tar) == bool(to_prefix):
        raise SettingsError("give either --tar or --to-prefix")
    store = open_store_from_options(options).store
    if tar:
        click.echo(exporter.export_tar(store, at, tar), err=tar == "-")
        return MirrorExitCode.OK
    own, other = normalize_prefix(options["prefix"]), normalize_prefix(to_prefix)
    if own.startswith(other) or other.startswith(own):
        raise SettingsError(
            f"--to-prefix {to_prefix!r} overlaps the prefix of the session: give another one"
        )
    target = open_store_from_options({**options, "prefix": to_prefix}).store
    result = exporter.export_objects(store, at, target)
    echo_lines(exporter.format_export_result(result))
    is_incomplete = result.refused or result.skipped_symlinks
    return MirrorExitCode.INCOMPLETE if is_incomplete else MirrorExitCode.OK


IMPORT_EXPORT_COMMANDS = (import_command, export)
