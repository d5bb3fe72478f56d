"""Any tree that can be committed reads the same from the work tree and from the commit.

A difference would be a change that is not one; an entry that one side ignores, a delete.
"""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconcile.adapters.sources.directory import DirectorySource
from reconcile.adapters.sources.git import find_checkout
from reconcile.adapters.sources.git_tree import GitFolder, GitTreeSource
from reconcile.core.spec.layout import FileRole, classify_file, is_lock
from tests.adapters.sources.repositories import Repository

FOLDERS = ["team-a", "Team B", ".hidden", "..data", "sub.yaml", "README.md", "-"]
NAMES = [
    "one.yaml",
    "one.YML",
    "one.json",
    "one.txt",
    "one",
    ".one.yaml",
    ".#one.yaml",
    "one.yaml~",
    "policy.yaml",
    "policy.yml",
    "project.yaml",
    "README.md",
    ".gitattributes",
    "é\n\t.yaml",
    "\udcff.yaml",
]
PATHS = st.tuples(st.lists(st.sampled_from(FOLDERS), max_size=3), st.sampled_from(NAMES))
KINDS = st.sampled_from(["file", "file", "link to a file", "link to a folder", "link to nothing"])
TREES = st.dictionaries(PATHS.map(lambda parts: "/".join((*parts[0], parts[1]))), KINDS, max_size=8)
TARGETS = {
    "link to a file": "../desired/policy.yaml",
    "link to a folder": ".",
    "link to nothing": "/nowhere",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return Repository(tmp_path_factory.mktemp("sources"))


def build(root, tree):
    """Write the entries of a tree; returns those that were possible, as `a` and `a/b` are not."""
    shutil.rmtree(root)
    root.mkdir()
    for path, kind in tree.items():
        place = root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                place.write_text(f"a: {path!a}\n")
            else:
                place.symlink_to(TARGETS[kind])
        except OSError:
            continue
        yield path, kind


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tree=TREES)
def test_both_sources_read_the_same(repository, tree):
    made = dict(build(repository.desired, tree))
    commit = repository.commit()
    checkout = find_checkout(repository.desired)
    here = DirectorySource(repository.desired).read()
    assert here == GitTreeSource(GitFolder(checkout.top, commit, checkout.prefix)).read()
    found = {file.path: file for file in here.files}
    for path, kind in made.items():
        role = classify_file(path)
        is_lock_of_emacs = kind != "file" and is_lock(path)
        if role is not FileRole.IGNORED and not is_lock_of_emacs:
            assert path in found
            assert bool(found[path].problem) is (role is FileRole.REFUSED or kind != "file")
