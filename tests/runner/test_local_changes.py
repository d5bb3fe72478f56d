import random
import subprocess

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from reconcile.runner.local_changes import (
    digest_folder,
    find_reason_to_keep,
    is_same_url,
    read_origin,
)
from tests.runner.work import COMBINABLE, DIRTY, commit, git


def make_origin(folder):
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("*.log\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    git(folder, "branch", "other")
    return folder


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    return make_origin(tmp_path_factory.mktemp("origin") / "shop")


@pytest.fixture
def clone(origin, tmp_path):
    return make_clone(origin, tmp_path)


def make_clone(origin, top):
    folder = top / "repos" / "shop"
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(top, "clone", "-q", origin.as_uri(), str(folder))
    return folder


@pytest.mark.parametrize("make_dirty", DIRTY, ids=lambda each: each.__name__)
def test_a_repository_with_work_has_a_reason_to_stay(clone, make_dirty):
    make_dirty(clone)
    assert find_reason_to_keep(clone)


@given(st.lists(st.sampled_from(COMBINABLE), min_size=1, max_size=3, unique=True), st.randoms())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_work_of_several_kinds_has_a_reason_to_stay(tmp_path_factory, origin, kinds, rng):
    clone = make_clone(origin, tmp_path_factory.mktemp("clone"))
    for make_dirty in rng.sample(kinds, len(kinds)):
        try:
            make_dirty(clone)
        except (subprocess.CalledProcessError, OSError):
            continue  # Two kinds may exclude each other; the first is there.
    assert find_reason_to_keep(clone)


def untouched(_folder):
    pass


def clean_branch(folder):
    git(folder, "checkout", "-q", "other")


def clean_detached(folder):
    git(folder, "checkout", "-q", "v1")


def own_branch_without_commits(folder):
    git(folder, "checkout", "-qb", "ambient/session")


def pushed(folder):
    git(folder, "checkout", "-qb", f"pushed-{random.random()}")
    commit(folder)
    git(folder, "push", "-qu", "origin", "HEAD")


def ignored(folder):
    (folder / "build.log").write_text("output")


def packed(folder):
    git(folder, "gc", "-q")


def empty_folder(folder):
    folder.rename(folder.parent / "moved")
    folder.mkdir()


def absent(folder):
    folder.rename(folder.parent / "moved")


@pytest.mark.parametrize(
    "make",
    [
        untouched, clean_branch, clean_detached, own_branch_without_commits, pushed,
        ignored, packed, empty_folder, absent,
    ],
)  # fmt: skip
def test_a_repository_without_work_has_none(clone, make):
    make(clone)
    assert not find_reason_to_keep(clone)


@pytest.mark.parametrize(
    "settings",
    [
        ["core.fsmonitor={}"],
        ["filter.evil.clean={}", "filter.evil.required=true"],
        ["filter.evil.process={}"],
        ["core.hooksPath=hooks"],
        ["log.showSignature=true", "gpg.program={}"],
    ],
)
def test_looking_at_a_repository_runs_none_of_its_programs(clone, tmp_path, settings):
    program, mark = tmp_path / "evil", tmp_path / "ran"
    program.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    program.chmod(0o755)
    (clone / ".gitattributes").write_text("* filter=evil\n")
    (clone / "hooks").mkdir()
    (clone / "hooks" / "post-index-change").symlink_to(program)
    for setting in settings:
        name, _, value = setting.format(program).partition("=")
        git(clone, "config", name, value)
    (clone / "a.txt").write_text("A.txt")
    assert find_reason_to_keep(clone)
    assert not mark.exists()


def test_a_partial_clone_fetches_nothing(clone, tmp_path):
    mark = tmp_path / "ran"
    git(clone, "config", "core.repositoryFormatVersion", "1")
    git(clone, "config", "extensions.partialClone", "origin")
    git(clone, "config", "remote.origin.promisor", "true")
    git(clone, "config", "protocol.ext.allow", "always")
    git(clone, "config", "remote.origin.url", f"ext::touch {mark}")
    (clone / ".git" / "refs" / "heads" / "gone").write_text("2" * 40 + "\n")
    assert "git cannot tell" in find_reason_to_keep(clone)
    assert not mark.exists()


def test_a_file_name_in_a_reason_is_one_short_line(clone):
    (clone / ("x" * 150 + "\n\x1b[31m")).touch()
    reason = find_reason_to_keep(clone)
    assert len(reason) < 200
    assert reason.isprintable()


def test_the_origin_is_compared_without_user_and_ending(clone, origin):
    assert read_origin(clone) == origin.as_uri()
    assert is_same_url("https://x:y@github.com/a/b.git", "https://GitHub.com/a/b/")
    assert is_same_url("git@github.com:a/b", "git@github.com:a/b.git")
    assert not is_same_url("https://github.com/a/b", "https://github.com/a/c")
    assert not is_same_url("https://[no-address/a/b", "https://github.com/a/b")
    assert read_origin(clone.parent) == ""


def test_a_digest_shows_each_change_of_a_folder(tmp_path):
    folder = tmp_path / "workflows" / "flow"
    folder.mkdir(parents=True)
    digests = {digest_folder(folder)}
    for change in (
        lambda: (folder / "a").write_text("1"),
        lambda: (folder / "a").write_text("2"),
        lambda: (folder / "a").chmod(0o755),
        (folder / "b").mkdir,
        lambda: (folder / "b" / "c").symlink_to("/etc/passwd"),
        lambda: (folder / "a").rename(folder / "d"),
    ):
        before = digest_folder(folder)
        assert before == digest_folder(folder)
        change()
        digests.add(digest_folder(folder))
    assert len(digests) == 7
    assert digest_folder(tmp_path / "absent") == ""
