"""validate, render and schema: the commands that need no cluster."""

import json

import jsonschema
import pytest

from reconcile.core.yaml_loader import load_documents
from tests.cli.trees import BROKEN

# validate, render, schema


def test_validate_reports_nothing_for_valid_files(tree):
    ended = tree.go("validate")
    assert (ended.code, ended.out, ended.err) == (0, "", "1 session can be used.\n")


def test_validate_reports_every_problem_with_its_location(tree):
    tree.add("two", BROKEN).write("team-a/three.yaml", "a: [\n").add("four")
    ended = tree.go("validate")
    assert ended.code == 3
    assert "team-a/two.yaml:5:3: spec.initialPromt: " in ended.err
    assert "initialPrompt" in ended.err
    assert "team-a/three.yaml:" in ended.err
    assert "2 sessions can be used." in ended.err


def test_validate_counts_no_session_if_the_policy_is_broken(tree):
    tree.write("policy.yaml", "kind: Nonsense\n")
    ended = tree.go("validate")
    assert ended.code == 3
    assert "policy.yaml" in ended.err
    assert "0 sessions can be used." in ended.err


def test_validate_prints_its_findings_as_json(tree):
    tree.add("two", BROKEN).add("three", "timeout: 60")
    ended = tree.go("validate", "-o", "json")
    assert ended.code == 3
    assert [problem["path"] for problem in ended.json["problems"]] == ["team-a/two.yaml"]
    assert [problem["path"] for problem in ended.json["warnings"]] == ["team-a/three.yaml"]
    assert ended.err == ""


def test_a_warning_is_not_an_error(tree):
    tree.add("two", "timeout: 60")
    ended = tree.go("validate")
    assert ended.code == 0
    assert "warning" in ended.err


def test_render_prints_every_object_as_yaml(tree):
    ended = tree.go("render")
    assert ended.code == 0
    kinds = [document.value["kind"] for document in load_documents(ended.out)]
    assert kinds == [
        "ConfigMap",
        "ServiceAccount",
        "ConfigMap",
        "NetworkPolicy",
        "Service",
        "Pod",
    ]


def test_render_prints_what_can_be_rendered_and_reports_the_rest(tree):
    ended = tree.add("two", BROKEN).go("render")
    assert ended.code == 3
    assert 'kind: "Pod"' in ended.out
    assert "team-a/two.yaml" in ended.err


def test_own_templates_are_added_to_the_shipped(tree, tmp_path):
    own = tmp_path / "templates"
    own.mkdir()
    claim = (
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: '{{ session.name }}-data'}\n"
        "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
    )
    (own / "pvc.yaml.j2").write_text(claim)
    ended = tree.go("apply", "--templates", str(own))
    assert ended.code == 0
    assert "PersistentVolumeClaim team-a/one-data created" in ended.out
    assert tree.go("diff", "--templates", str(own)).code == 0


@pytest.mark.parametrize("kind", [(), ("--kind", "AgenticSession"), ("--kind", "Policy")])
def test_schema_prints_a_json_schema(tree, kind):
    ended = tree.run("schema", *kind)
    assert ended.code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(ended.out))
