"""The output and exit code of each command, on files and an embedded cluster."""

import pytest

from reconcile.adapters.embedded.cluster import EmbeddedCluster
from reconcile.cli.main import run_reconcile_cli
from reconcile.core.errors import ForbiddenError
from reconcile.core.model import ANNOTATION_ADOPT
from tests.cli.trees import BROKEN
from tests.session_files import GENEROUS, OTHER_POD, policy_text

NOTHING = "Nothing to do.\n"
RECREATE = "update: {strategy: Recreate}"
FAILING = "{% if session.name == 'two' %}{{ session.spec.nonsense }}{% endif %}"


def summary(ended):
    words = ("Plan: ", "Applied: ")
    return [line for line in ended.out.splitlines() if line.startswith(words)][-1]


# diff and apply


def test_the_first_diff_shows_all_creates_and_changes_nothing(tree):
    ended = tree.go("diff")
    assert ended.code == 1
    assert "+ Pod one-runner" in ended.out
    assert summary(ended).startswith("Plan: 6 to create, 0 to patch")
    assert tree.objects() == []


def test_a_second_apply_has_nothing_to_do(tree):
    ended = tree.go("apply")
    assert ended.code == 0
    assert "Pod team-a/one-runner created" in ended.out
    assert summary(ended).startswith("Applied: 6 created")
    before = tree.state.read_bytes()
    again = tree.go("diff")
    assert (again.code, again.err) == (0, "")
    assert again.out.startswith(NOTHING)
    second = tree.go("apply")
    assert second.code == 0
    assert "6 unchanged" in next(line for line in second.out.splitlines() if "Plan: " in line)
    assert "6 unchanged" in summary(second)
    assert tree.state.read_bytes() == before


def test_a_plan_is_printed_as_json(tree):
    ended = tree.go("diff", "-o", "json")
    assert ended.code == 1
    assert ended.json["kind"] == "Plan"
    assert ended.json["summary"]["create"] == 6
    assert ended.err == ""


def test_a_result_is_printed_as_json_and_nothing_else(tree):
    ended = tree.go("apply", "-o", "json")
    assert ended.code == 0
    assert ended.json["kind"] == "Result"
    assert ended.json["summary"]["created"] == 6


def test_verbose_shows_what_is_unchanged(tree):
    tree.go("apply")
    assert "Pod one-runner" not in tree.go("diff").out
    assert "Pod one-runner" in tree.go("diff", "-v").out


def test_an_edited_field_is_shown_and_patched_alone(tree):
    tree.go("apply")
    tree.add("one", "initialPrompt: work\nnetwork: {allowFrom: [{namespace: ui}]}")
    ended = tree.go("diff", "-o", "json")
    (session,) = ended.json["sessions"]
    (change,) = session["changes"]
    assert (change["action"], change["kind"]) == ("patch", "NetworkPolicy")
    assert tree.go("apply").code == 0
    assert tree.go("diff").code == 0


def test_drift_is_shown_with_its_manager_and_repaired(tree):
    tree.go("apply")
    write = {"op": "replace", "path": "/data/INITIAL_PROMPT", "value": "theirs"}
    tree.edit("ConfigMap", "one-inputs", write)
    ended = tree.go("diff")
    assert ended.code == 1
    assert "Drift: changed outside git by stranger" in ended.out
    assert tree.go("apply").code == 0
    assert tree.go("diff").code == 0


def test_a_held_restart_is_not_an_error_of_apply_but_a_change_of_diff(tree):
    tree.go("apply")
    tree.add("one", OTHER_POD)
    assert tree.go("apply").code == 0
    ended = tree.go("diff")
    assert ended.code == 1
    assert "update.strategy: Recreate" in ended.out
    assert "1 held" in summary(ended)


def test_a_released_restart_is_made(tree):
    tree.go("apply")
    tree.add("one", f"{OTHER_POD}\n{RECREATE}")
    ended = tree.go("apply")
    assert ended.code == 0
    assert "Pod team-a/one-runner replaced" in ended.out


def test_a_removed_session_is_pruned(tree):
    tree.add("two").go("apply")
    tree.drop("two")
    ended = tree.go("apply")
    assert ended.code == 0
    assert "Pod team-a/two-runner deleted" in ended.out
    assert tree.go("diff").code == 0


def test_without_prune_a_removed_session_stays(tree):
    tree.add("two").go("apply")
    tree.drop("two")
    ended = tree.go("apply", "--no-prune")
    assert ended.code == 0
    assert "pruning is switched off" in ended.out
    assert any(obj["metadata"]["name"] == "two-runner" for obj in tree.objects())


def test_a_delete_over_budget_is_refused_and_named(tree):
    tree.add("two").add("three").go("apply")
    tree.drop("two").drop("three").write("policy.yaml", policy_text("budgets: {}"))
    ended = tree.go("apply")
    assert ended.code == 6
    assert "the delete budget is exceeded" in ended.out
    tree.write("policy.yaml", policy_text("allowDeletes: [team-a/two, team-a/three]"))
    assert tree.go("apply").code == 0
    assert tree.go("diff").code == 0


def test_an_empty_tree_deletes_nothing(tree):
    tree.go("apply")
    tree.drop("one")
    ended = tree.go("apply")
    assert ended.code == 6
    assert "allowEmpty" in ended.out
    assert (
        tree.write("policy.yaml", policy_text(GENEROUS, "allowEmpty: true")).go("apply").code == 0
    )
    assert tree.objects() == []


def test_a_broken_file_deletes_nothing_and_all_others_are_reconciled(tree):
    tree.add("two").add("three").go("apply")
    tree.write("team-a/two.yaml", "{").drop("three").add("four").add("five", namespace="team-b")
    ended = tree.go("apply")
    assert ended.code == 3
    assert "team-a/two.yaml" in ended.err
    assert "Pod team-a/four-runner created" in ended.out
    assert "Pod team-b/five-runner created" in ended.out
    assert "deleted" not in ended.out.replace(" 0 deleted", "")


def test_a_diff_of_broken_files_does_not_look_like_no_changes(tree):
    tree.go("apply")
    tree.add("two", BROKEN)
    ended = tree.go("diff")
    assert ended.code == 3
    assert NOTHING not in ended.out
    assert "team-a/two.yaml" in ended.err


def test_a_name_that_is_taken_is_held_and_says_how_to_adopt(tree):
    metadata = {"name": "session-one", "namespace": "team-a"}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    tree.cluster.create({**body, "spec": {"ports": [{"port": 1}]}}, "stranger")
    ended = tree.go("apply")
    assert ended.code == 6
    assert f"{ANNOTATION_ADOPT}=default" in ended.out


def test_a_template_that_fails_for_one_session_leaves_the_others(tree, tmp_path):
    own = tmp_path / "templates"
    own.mkdir()
    (own / "odd.yaml.j2").write_text(FAILING)
    ended = tree.add("two").go("apply", "--templates", str(own))
    assert ended.code == 3
    assert "odd.yaml.j2" in ended.err
    assert "team-a/two" in ended.err
    assert "Pod team-a/one-runner created" in ended.out


def test_a_failed_change_is_reported_and_the_others_are_applied(tree, tmp_path):
    own = tmp_path / "templates"
    own.mkdir()
    odd = "apiVersion: example.com/v1\nkind: Odd\nmetadata: {name: '{{ session.name }}-odd'}\n"
    (own / "odd.yaml.j2").write_text(f"{{% if session.name == 'two' %}}{odd}{{% endif %}}")
    ended = tree.add("two").go("apply", "--templates", str(own), "--concurrency", "1")
    assert ended.code == 5
    assert "Odd team-a/two-odd failed" in ended.out
    assert "Pod team-a/two-runner skipped: Odd team-a/two-odd failed before it" in ended.out
    assert "Pod team-a/one-runner created" in ended.out


def test_a_foreign_inventory_is_reported_and_nothing_is_created(tree):
    metadata = {"name": "reconcile-inventory-default", "namespace": "team-a"}
    tree.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, "them")
    ended = tree.go("apply")
    assert ended.code == 5
    assert "is a foreign object" in ended.err
    assert len(tree.objects()) == 1


def test_outcomes_are_reported_if_the_inventory_cannot_be_updated(tree, monkeypatch):
    tree.add("two", namespace="team-b").go("apply")
    tree.drop("two", "team-b")
    delete = EmbeddedCluster.delete

    def refuse(self, kind, ref, uid):
        if ref.name.startswith("reconcile-inventory"):
            raise ForbiddenError("no such right")
        delete(self, kind, ref, uid)

    monkeypatch.setattr(EmbeddedCluster, "delete", refuse)
    ended = tree.go("apply")
    assert ended.code == 5
    assert "Pod team-b/two-runner deleted" in ended.out
    assert "the inventory could not be deleted: no such right" in ended.err


@pytest.mark.parametrize("argument", ["\udcff", "a\0b"])
@pytest.mark.parametrize("command", ["validate", "review", "diff"])
def test_an_argument_that_is_not_utf_8_is_a_usage_error(command, argument, capsys):
    assert run_reconcile_cli([command, argument]) == 2
    assert "this argument is not UTF-8" in capsys.readouterr().err
