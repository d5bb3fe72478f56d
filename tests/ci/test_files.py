"""The files for CI match the schemas of the forges, need few permissions, and run no input."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reconcile.ci.review import FailOn
from reconcile.cli.review import review
from tests.ci.action_runner import Action

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
GITLAB = ROOT / "ci" / "gitlab.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"


def documents(path):
    return list(YAML(typ="safe").load_all(path.read_text("utf-8")))


def check(schema, path):
    """Check a file by a schema that comes with check-jsonschema; needs no network."""
    program = Path(sys.executable).with_name("check-jsonschema")
    command = [program, "--builtin-schema", schema, path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_fits_githubs_schema():
    check("vendor.github-actions", ROOT / "action.yml")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_workflows_fit_githubs_schema(path):
    check("vendor.github-workflows", path)


def test_the_template_fits_gitlabs_schema(tmp_path):
    # The schema knows no second document: the first one is the header, and has its own test.
    job = io.StringIO()
    YAML().dump(documents(GITLAB)[1], job)
    path = tmp_path / ".gitlab-ci.yml"
    path.write_text(job.getvalue())
    check("vendor.gitlab-ci", path)


def test_a_schema_refuses_what_is_wrong(tmp_path):
    path = tmp_path / "action.yml"
    path.write_text("name: x\nruns: {using: composite, steps: [{run: 'true'}]}\n")
    with pytest.raises(AssertionError):
        check("vendor.github-actions", path)


def test_the_hook_fits_pre_commits_own_check():
    program = Path(sys.executable).with_name("pre-commit")
    subprocess.run([program, "validate-manifest", HOOKS], check=True, capture_output=True)


def steps_of(path):
    for document in documents(path):
        for job in document.get("jobs", {"": document.get("runs", {})}).values():
            yield from job.get("steps", [])


@pytest.mark.parametrize("path", [ROOT / "action.yml", *WORKFLOWS], ids=lambda path: path.name)
def test_no_script_has_an_expression_in_it(path):
    scripts = [step["run"] for step in steps_of(path) if "run" in step]
    assert not [script for script in scripts if "${{" in script]


def test_the_actions_scripts_are_seen_by_these_tests():
    assert len([step for step in steps_of(ROOT / "action.yml") if "run" in step]) == 2


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_ask_for_few_rights_and_pin_what_they_use(path):
    (workflow,) = documents(path)
    rights = workflow["permissions"]
    assert rights["contents"] == "read"
    assert set(rights) <= {"contents", "pull-requests"}
    assert "pull_request_target" not in workflow["on"]
    assert workflow["concurrency"]["group"]
    for step in steps_of(path):
        assert step.get("uses", "./") == "./" or re.search(r"@v\d+", step["uses"])


def test_only_the_review_may_write_to_pull_requests():
    writers = [
        path.name
        for path in WORKFLOWS
        if documents(path)[0]["permissions"].get("pull-requests") == "write"
    ]
    assert writers == ["desired.yml"]


def test_every_input_is_used_and_described():
    action = Action(ROOT).document
    text = (ROOT / "action.yml").read_text("utf-8")
    for name, definition in action["inputs"].items():
        assert f"inputs.{name}" in text.split("\nruns:")[1], name
        assert definition["description"]
    for output in action["outputs"].values():
        assert output["description"]


def test_the_template_and_the_action_know_the_programs_options():
    options = {flag for parameter in review.params for flag in parameter.opts}
    for path in (ROOT / "action.yml", GITLAB):
        given = set(re.findall(r"(--[a-z-]+)=\"?\$", path.read_text("utf-8")))
        assert given
        assert given <= options


def test_the_templates_header_has_a_word_on_each_input():
    header, job = documents(GITLAB)
    inputs = header["spec"]["inputs"]
    used = set(re.findall(r"\$\[\[ inputs\.(\w+) \]\]", str(job)))
    assert used == set(inputs)
    assert all(definition["description"] for definition in inputs.values())
    assert inputs["fail_on"]["options"] == [one.value for one in FailOn]


@pytest.mark.parametrize(
    ("path", "checked"),
    [
        ("desired/team-a/one.yaml", True),
        ("desired/policy.yml", True),
        ("teams/desired/defaults.yaml", True),
        ("templates/pod.yaml.j2", True),
        ("undesired/one.yaml", False),
        ("docs/desired.md", False),
    ],
)
def test_the_hook_looks_at_session_files_and_templates(path, checked):
    ((hook,),) = documents(HOOKS)
    assert bool(re.search(hook["files"], path)) is checked


def test_other_commands_do_not_load_what_talks_to_forges():
    code = "import sys, reconcile.cli.main; sys.exit('requests' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
