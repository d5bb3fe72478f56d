"""A mounted Secret, with the layout and the atomic updates of the kubelet."""

from collections.abc import Mapping
from pathlib import Path


def mount(folder: Path, values: Mapping[str, str]) -> Path:
    """Write a version of a Secret and make it the current one atomically."""
    version = folder / f"..version-{len(list(folder.glob('..version-*')))}"
    version.mkdir(parents=True)
    for name, value in values.items():
        (version / name).write_text(value)
    new_link = folder / "..data_tmp"
    new_link.symlink_to(version.name)
    new_link.replace(folder / "..data")
    for name in values:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in values:
            path.unlink()
    return folder
