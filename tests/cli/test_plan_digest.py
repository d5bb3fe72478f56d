"""`apply --plan-digest`: only the approved plan is applied."""

import json

import pytest

from reconcile.cli import diff as diff_command
from tests.session_files import session_text

OTHER = "sha256:" + "0" * 64
EDIT = {"op": "add", "path": "/metadata/labels/app.kubernetes.io~1managed-by", "value": "else"}


@pytest.fixture
def digest(tree, monkeypatch):
    """The digest of a diff, or the plan in a file."""
    reports = []
    shown = diff_command.show_plan
    monkeypatch.setattr(
        diff_command,
        "show_plan",
        lambda report, terminal: (reports.append(report), shown(report, terminal)),
    )

    def of(*, file=None):
        ended = tree.go("diff", "-o", "json")
        assert ended.code == 1
        document = {**ended.json, "digest": reports[-1].digest}
        if file is None:
            return document["digest"]
        file.write_text(json.dumps(document))
        return f"@{file}"

    return of


def test_the_approved_plan_is_applied(tree, digest):
    assert tree.go("apply", "--plan-digest", digest()).code == 0
    assert tree.go("diff").code == 0


def test_a_plan_file_is_an_approval_too(tree, digest, tmp_path):
    assert tree.go("apply", "--plan-digest", digest(file=tmp_path / "plan.json")).code == 0


def test_another_plan_is_refused_and_nothing_is_written(tree, digest):
    approved = digest()
    tree.add("two")
    ended = tree.go("apply", "--plan-digest", approved)
    assert ended.code == 6
    assert "session-two" in ended.out
    assert approved in ended.err
    assert "not the plan that was approved, so nothing was changed" in ended.err
    assert f"  approved: {approved}" in ended.err.splitlines()
    assert tree.objects() == []


def test_a_refusal_leaves_the_inventory_alone(tree):
    assert tree.go("apply").code == 0
    before = tree.objects()
    tree.add("two", namespace="team-b")
    assert tree.go("apply", "--plan-digest", OTHER).code == 6
    assert tree.objects() == before


def test_nothing_to_do_has_a_digest_as_well(tree):
    tree.go("apply")
    assert tree.go("apply", "--plan-digest", OTHER).code == 6


def test_drift_is_named_if_it_is_the_only_difference(tree, digest):
    tree.go("apply")
    tree.add("one", "displayName: One\ninitialPrompt: work")
    approved = digest()
    tree.edit("Service", "session-one", EDIT)
    ended = tree.go("apply", "--plan-digest", approved)
    assert ended.code == 6
    assert "except for drift" in ended.err
    assert "Service team-a/session-one: patch, which was not approved" in ended.err
    assert "Pod" not in ended.err


def test_each_object_is_named_if_the_plan_is_given(tree, digest, tmp_path):
    approved = digest(file=tmp_path / "plan.json")
    tree.drop("one").add("two")
    ended = tree.go("apply", "--plan-digest", approved)
    assert ended.code == 6
    assert "Pod team-a/one-runner: create was approved, and is no longer planned" in ended.err
    assert "Pod team-a/two-runner: create, which was not approved" in ended.err


def test_as_json_a_refusal_shows_the_plan(tree):
    ended = tree.go("apply", "--plan-digest", OTHER, "-o", "json")
    assert ended.code == 6
    assert ended.json["kind"] == "Plan"
    assert OTHER in ended.err


def test_a_refusal_with_a_broken_file_ends_as_the_broken_file_does(tree):
    tree.write("team-a/two.yaml", session_text("two", "typo: 1"))
    ended = tree.go("apply", "--plan-digest", OTHER)
    assert ended.code == 3
    assert tree.objects() == []


@pytest.mark.parametrize("text", ["", "abc", OTHER[:-1], "@", "@/does/not/exist"])
def test_an_invalid_digest_is_a_wrong_command_line(tree, text):
    ended = tree.go("apply", "--plan-digest", text)
    assert ended.code == 2
    assert "--plan-digest" in ended.err
    assert tree.objects() == []


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"digest": OTHER})])
def test_a_file_without_a_plan_is_a_wrong_command_line(tree, tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    ended = tree.go("apply", "--plan-digest", f"@{tmp_path / 'plan.json'}")
    assert ended.code == 2
    assert "is not a plan with a digest" in ended.err
