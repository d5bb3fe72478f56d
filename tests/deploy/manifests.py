"""Reads `deploy/` like kustomize, with the only field that these files use: `resources`."""

from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from reconcile.core.yaml_loader import load_documents

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[Any]:
    """Parse one file."""
    return [document.value for document in load_documents(path.read_text(), path.name)]


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder's kustomization."""
    [kustomization] = documents(folder / "kustomization.yaml")
    for name in kustomization["resources"]:
        path = (folder / name).resolve()
        if path.is_dir():
            yield from files(path)
        else:
            yield path


def objects(folder: str) -> list[Any]:
    """Read all objects of one folder of `deploy/`, such as `namespace`."""
    return [body for path in files(DEPLOY / folder) for body in documents(path)]


def placed(bodies: Iterable[Any], namespace: str, *, home: str = "reconcile") -> list[Any]:
    """Copy objects into a namespace; `home` is the namespace of the service accounts."""
    copies = deepcopy(list(bodies))
    for body in copies:
        body["metadata"]["namespace"] = namespace
        for subject in body.get("subjects", ()):
            subject["namespace"] = home
    return copies
