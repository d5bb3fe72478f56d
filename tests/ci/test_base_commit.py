"""The base commit of a pull request, in the kinds of checkouts that jobs have."""

import pytest

from reconcile.ci.commands import JobRepository
from reconcile.ci.environment import BaseCommit, MergeBase, UnknownBase
from reconcile.core.errors import SourceError
from tests.adapters.sources.repositories import embed_bare_repository
from tests.ci.repositories import Upstream, around, git

MERGE, HEAD = "refs/pull/5/merge", "refs/pull/5/head"


@pytest.fixture
def upstream(tmp_path):
    return Upstream(tmp_path)


def start_of(upstream):
    return MergeBase(upstream.main, upstream.merged)


@pytest.mark.parametrize("full", [False, True], ids=["shallow", "full"])
def test_the_forges_own_merge_is_compared_with_the_branch_it_adds_to(upstream, tmp_path, full):
    checkout = upstream.checkout(tmp_path / "job", MERGE, full=full)
    assert JobRepository(around(checkout)).find_base(start_of(upstream)) == upstream.main
    assert git(checkout, "cat-file", "-t", upstream.main) == "commit"


@pytest.mark.parametrize("full", [False, True], ids=["shallow", "full"])
def test_the_branch_itself_is_compared_with_where_it_left(upstream, tmp_path, full):
    checkout = upstream.checkout(tmp_path / "job", HEAD, full=full)
    assert JobRepository(around(checkout)).find_base(start_of(upstream)) == upstream.root


def test_a_history_without_the_target_gets_the_targets(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", HEAD)
    git(checkout, "fetch", "-q", "--unshallow", "origin", HEAD)
    assert JobRepository(around(checkout)).find_base(start_of(upstream)) == upstream.root
    assert git(checkout, "rev-parse", "--is-shallow-repository") == "false"


def test_one_commit_is_fetched_and_no_more(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", MERGE)
    JobRepository(around(checkout)).find_base(start_of(upstream))
    assert git(checkout, "rev-parse", "--is-shallow-repository") == "true"


def test_nothing_is_fetched_where_all_is_there(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", MERGE, full=True)
    git(checkout, "remote", "set-url", "origin", "file:///nowhere")
    assert JobRepository(around(checkout)).find_base(start_of(upstream)) == upstream.main


@pytest.mark.parametrize("ref", [MERGE, HEAD])
def test_where_nothing_can_be_fetched_it_is_said_what_to_set(upstream, tmp_path, ref):
    checkout = upstream.checkout(tmp_path / "job", ref)
    git(checkout, "remote", "set-url", "origin", "file:///nowhere")
    with pytest.raises(SourceError, match=r"cannot be fetched: .*`fetch-depth: 0`"):
        JobRepository(around(checkout)).find_base(start_of(upstream))


def test_an_unrelated_history_is_an_error(upstream, tmp_path):
    git(upstream.folder, "checkout", "-q", "--orphan", "apart")
    apart = upstream.commit("apart")
    checkout = upstream.checkout(tmp_path / "job", HEAD)
    with pytest.raises(SourceError, match="no common history"):
        JobRepository(around(checkout)).find_base(MergeBase(apart, "x"))


def test_a_commit_that_is_named_is_taken_and_fetched(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", MERGE)
    assert JobRepository(around(checkout)).find_base(BaseCommit(upstream.root)) == upstream.root
    assert git(checkout, "cat-file", "-t", upstream.root) == "commit"


@pytest.mark.parametrize("name", ["--upload-pack=touch /tmp/x", "main", ""])
def test_an_invalid_commit_id_is_never_passed_to_git(upstream, tmp_path, name):
    checkout = upstream.checkout(tmp_path / "job", MERGE)
    with pytest.raises(SourceError, match="not the id of a commit"):
        JobRepository(around(checkout)).find_base(BaseCommit(name))


def test_a_missing_base_is_an_error(tmp_path):
    with pytest.raises(SourceError, match="no revision to compare with"):
        JobRepository(around(tmp_path)).find_base(UnknownBase())


def test_without_a_checkout_it_is_said_what_is_missing(tmp_path):
    with pytest.raises(SourceError, match="actions/checkout"):
        JobRepository(around(tmp_path)).find_base(MergeBase("a" * 40, "b" * 40))


def test_a_path_is_named_as_the_forge_shows_it(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", MERGE)
    inner = JobRepository(around(checkout / "desired"))
    assert inner.top == checkout
    assert inner.relative_path("team-a/") == "desired/team-a"
    assert inner.relative_path("..") == "."
    assert inner.relative_path(str(checkout / "desired")) == "desired"
    assert inner.relative_path("/elsewhere/x") == "/elsewhere/x"


def test_a_remote_that_tracked_files_declare_is_not_asked(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", HEAD)
    witness = tmp_path / "ran"
    remote = (
        f'[remote "origin"]\n\turl = "ext::touch {witness}"\n[protocol "ext"]\n\tallow = always\n'
    )
    (checkout / "sub").mkdir()
    embed_bare_repository(checkout / "sub", checkout / "sub", remote)
    assert JobRepository(around(checkout / "sub")).find_base(start_of(upstream)) == upstream.root
    assert not witness.exists()


def test_no_configuration_of_the_checkout_is_used_to_fetch(upstream, tmp_path):
    checkout = upstream.checkout(tmp_path / "job", HEAD)
    canary = tmp_path / "ran"
    (checkout / ".gitconfig").write_text(f'[core]\n\talternateRefsCommand = "touch {canary}"\n')
    git(checkout, "config", "include.path", "../.gitconfig")
    (checkout / ".git/objects/info/alternates").write_text(f"{tmp_path}/upstream/.git/objects\n")
    with pytest.raises(SourceError, match=r"reads its configuration from .*/job/\.gitconfig"):
        JobRepository(around(checkout)).find_base(start_of(upstream))
    assert not canary.exists()
