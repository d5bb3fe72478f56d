"""The pinned packages of the image and the Action are those that pyproject.toml allows."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DECLARED = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "requirements-build.txt": PROJECT["build-system"]["requires"],
}
PINNED = re.compile(
    r"(?P<name>[\w.-]+)==(?P<version>[^ ;]+)[^\\]*\\\n +--hash=sha256:[0-9a-f]{64}\b"
)


@pytest.mark.parametrize("name", DECLARED)
def test_every_dependency_is_pinned_with_a_hash_in_the_declared_range(name: str) -> None:
    found = PINNED.finditer((ROOT / name).read_text())
    pinned = {canonicalize_name(match["name"]): match["version"] for match in found}
    for text in DECLARED[name]:
        requirement = Requirement(text)
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{name} lacks {requirement.name}: run make lock"
        assert requirement.specifier.contains(version), f"{name}: {text}: run make lock"
