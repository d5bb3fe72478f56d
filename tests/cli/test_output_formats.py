"""Every format of `diff` and `validate`: the exit codes are the same, and errors are included."""

import json
import re

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.core.errors import UnavailableError
from reconcile.core.report.markdown import MAX_COMMENT_BYTES, MIN_COMMENT_BYTES
from tests.properties.rendered import render

FORMS = ["text", "unified", "markdown", "json", "names", "github"]
SILENT = [form for form in FORMS if form != "text"]
BROKEN = "initialPromt: work"


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def diff(tree, form, *more):
    return tree.go("diff", "-o", form, *more)


def test_no_changes_end_with_0_in_every_form(tree, form):
    tree.go("apply")
    assert diff(tree, form).code == 0


def test_changes_end_with_1_in_every_form(tree, form):
    ended = diff(tree, form)
    assert ended.code == 1
    assert ("to create" if form == "github" else "one-runner") in ended.out
    assert ended.err == ""


def test_a_broken_file_ends_with_3_and_is_named_in_every_form(tree, form):
    ended = tree.add("two", BROKEN).go("diff", "-o", form)
    assert ended.code == 3
    assert "team-a/two.yaml" in ended.out + ended.err
    assert ("6 to create" if form == "github" else "one-runner") in ended.out


@pytest.mark.parametrize("form", SILENT)
def test_a_broken_file_alone_never_gives_an_empty_output(tree, form):
    ended = tree.drop("one").add("two", BROKEN).go("diff", "-o", form)
    assert ended.code == 3
    assert "team-a/two.yaml" in ended.out


@pytest.mark.parametrize("form", SILENT)
def test_a_broken_policy_is_reported_in_the_format_and_on_standard_error(tree, form):
    ended = tree.write("policy.yaml", "kind: Nonsense\n").go("diff", "-o", form)
    assert ended.code == 3
    assert "policy.yaml" in ended.out
    assert "policy.yaml" in ended.err


@pytest.mark.parametrize("form", [form for form in SILENT if form != "names"])
def test_an_unreachable_namespace_is_reported_in_the_format(tree, form, monkeypatch):
    def unreachable(*_):
        raise UnavailableError("GET https://ann:hunter2secret@10.0.0.1/api: no route to host")
        yield

    monkeypatch.setattr(EmbeddedCluster, "list", unreachable)
    ended = diff(tree, form)
    assert ended.code == 4
    assert "no route to host" in ended.out
    assert ("no route to host" in ended.err) is (form not in {"json", "github"})
    assert "hunter2secret" not in ended.out + ended.err


@pytest.mark.parametrize("form", SILENT)
def test_a_missing_cluster_is_reported_in_the_format_and_on_standard_error(tree, form):
    where = ["--kubeconfig", "/nowhere/config"]
    ended = tree.run("diff", str(tree.root), *where, "-o", form)
    assert ended.code == 4
    assert ended.out.strip()
    assert form == "names" or "/nowhere/config" in ended.out
    assert "/nowhere/config" in ended.err


@pytest.mark.parametrize("form", SILENT)
def test_a_missing_folder_is_reported_in_the_format(tree, form, tmp_path):
    tree.root = tmp_path / "nowhere"
    ended = diff(tree, form)
    assert ended.code == 4
    assert ended.out.strip()


@pytest.mark.parametrize("command", ["apply", "status"])
def test_the_other_commands_report_a_failure_as_json_too(tree, command):
    ended = tree.write("policy.yaml", "kind: Nonsense\n").go(command, "-o", "json")
    assert ended.code == 3
    assert json.loads(ended.out)["kind"] == "Problems"
    assert "policy.yaml" in ended.err


def test_a_failure_as_json_is_a_document_of_its_own_kind(tree):
    document = tree.write("policy.yaml", "kind: Nonsense\n").go("diff", "-o", "json").json
    assert document["kind"] == "Problems"
    assert document["problems"][0]["path"] == "policy.yaml"


def test_a_failure_as_a_comment_has_the_marker_and_the_installation_where_it_is_known(
    tree, tmp_path
):
    failed = tree.go("diff", "-o", "markdown", "--templates", str(tmp_path / "nowhere"))
    assert failed.out.startswith("<!-- reconcile diff: -->\n### reconcile diff failed\n")
    nowhere = ["--kubeconfig", "/nowhere/config"]
    failed = tree.run("diff", str(tree.root), *nowhere, "-o", "markdown")
    assert failed.out.startswith("<!-- reconcile diff: default -->\n### reconcile diff failed\n")
    assert "The changes could not be determined." in "".join(render(failed.out).prose)


def test_names_are_one_line_for_each_changed_object(tree):
    out = diff(tree, "names").out
    assert out.splitlines() == [
        "create ConfigMap team-a/session-one",
        "create ServiceAccount team-a/session-one",
        "create ConfigMap team-a/one-inputs",
        "create NetworkPolicy.networking.k8s.io team-a/session-one",
        "create Service team-a/session-one",
        "create Pod team-a/one-runner",
    ]
    tree.go("apply")
    assert diff(tree, "names").out == ""


def test_the_messages_of_errors_are_on_standard_error_with_names(tree):
    ended = tree.add("two", BROKEN).go("diff", "-o", "names")
    assert "error team-a/two.yaml:5:3\n" in ended.out
    assert "unknown field" in ended.err


@pytest.mark.parametrize("form", ["text", "unified", "markdown"])
def test_drift_and_changes_of_a_commit_are_separate(tree, form):
    tree.go("apply")
    label = "/metadata/labels/app.kubernetes.io~1managed-by"
    tree.edit("ConfigMap", "one-inputs", {"op": "replace", "path": label, "value": "theirs"})
    out = diff(tree.add("one", "initialPrompt: ours"), form).out
    ours, _, drift = out.replace("**", "").partition("Drift: changed outside git by ")
    assert "theirs" not in ours
    assert "INITIAL_PROMPT: " in ours
    assert "stranger" in drift.splitlines()[0]
    assert "theirs" in drift


def test_the_digest_is_the_same_in_every_form(tree):
    digest = diff(tree, "json").json["digest"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", digest)
    for form in ("text", "unified", "markdown", "github"):
        assert digest in diff(tree, form).out


def test_a_comment_keeps_to_the_limit_that_is_given(tree):
    for number in range(9):
        tree.add(f"s{number}")
    whole = diff(tree, "markdown").out
    assert MIN_COMMENT_BYTES < len(whole.encode()) <= MAX_COMMENT_BYTES
    ended = diff(tree, "markdown", "--limit", str(MIN_COMMENT_BYTES))
    assert ended.code == 1
    assert len(ended.out.encode()) <= MIN_COMMENT_BYTES
    assert "10 sessions omitted" in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit", "9000"],
        ["--limit", "9000", "-o", "json"],
        ["-o", "markdown", "--limit", str(MIN_COMMENT_BYTES - 1)],
        ["-o", "markdown", "--limit", "many"],
    ],
)
def test_a_limit_without_a_comment_or_too_small_for_one_is_a_usage_error(tree, arguments):
    ended = tree.go("diff", *arguments)
    assert ended.code == 2
    assert "--limit" in ended.err
    assert ended.out == ""


# validate


def test_validate_points_at_lines_of_files_as_workflow_commands(tree, monkeypatch):
    monkeypatch.chdir(tree.root.parent)
    tree.add("two", BROKEN).add("three", "timeout: 60")
    ended = tree.run("validate", "desired", "-o", "github")
    assert ended.code == 3
    error, warning = ended.out.splitlines()
    assert error.startswith("::error file=desired/team-a/two.yaml,line=5,col=3,title=reconcile::")
    assert warning.startswith("::warning file=desired/team-a/three.yaml,line=")
    assert ended.err == "2 sessions can be used.\n"


def test_validate_of_good_files_annotates_nothing(tree):
    ended = tree.go("validate", "-o", "github")
    assert (ended.code, ended.out, ended.err) == (0, "", "1 session can be used.\n")


@pytest.mark.parametrize("form", ["json", "github"])
def test_validate_reports_an_unreadable_tree_in_its_format(tree, form, tmp_path):
    tree.root = tmp_path / "nowhere"
    ended = tree.go("validate", "-o", form)
    assert ended.code == 4
    assert "No such file or directory" in ended.out
    assert "No such file or directory" in ended.err
    if form == "json":
        assert json.loads(ended.out)["kind"] == "Problems"
