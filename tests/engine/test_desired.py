"""From text to desired state; what has not changed is not done again."""

import pytest

from reconcile.core.errors import SpecError
from reconcile.core.model import Kind
from reconcile.engine.desired import DesiredBuilder
from reconcile.engine.ports import Tree, TreeFile
from tests.session_files import SHIPPED, defaults_text, policy_text, session_text, tree_of

FAILS_FOR_ONE = "{% if session.name == 'one' %}{{ session.spec.nonsense }}{% endif %}"
NAMED_ALIKE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ session.name }}'}\n"
FILES = {
    "policy.yaml": policy_text(),
    "team-a/one.yaml": session_text("one"),
    "team-a/two.yaml": session_text("two"),
}


def built(files=FILES, templates=SHIPPED):
    return DesiredBuilder(templates).build(tree_of(files))


def manifests(desired):
    return {w.session.id.name: w.manifests for w in desired.sessions}


def test_desired_state_has_what_the_files_declare():
    desired = built()
    assert [w.session.id.name for w in desired.sessions] == ["one", "two"]
    assert desired.revision == "r1"
    assert desired.policy.installation == "default"
    assert desired.namespaces == {"team-a"}
    assert Kind("v1", "Pod") in desired.kinds
    assert not desired.problems


def test_kinds_are_known_without_any_session():
    desired = built({"policy.yaml": policy_text()})
    assert {kind.name for kind in desired.kinds} == {
        "ConfigMap",
        "NetworkPolicy",
        "Pod",
        "Service",
        "ServiceAccount",
    }


def test_the_same_tree_gives_the_same_objects_under_the_new_revision():
    builder = DesiredBuilder(SHIPPED)
    first = builder.build(tree_of(FILES))
    second = builder.build(tree_of(FILES, "r2"))
    assert second.revision == "r2"
    assert second.sessions is first.sessions


def test_another_empty_folder_is_another_tree():
    builder = DesiredBuilder(SHIPPED)
    builder.build(tree_of(FILES))
    assert builder.build(tree_of(FILES, folders=["team-b"])).namespaces == {"team-a", "team-b"}


def test_one_changed_file_makes_only_its_own_sessions_new():
    builder = DesiredBuilder(SHIPPED)
    before = manifests(builder.build(tree_of(FILES)))
    changed = {**FILES, "team-a/two.yaml": session_text("two", "initialPrompt: changed")}
    after = manifests(builder.build(tree_of(changed)))
    assert after["one"] is before["one"]
    assert after["two"] is not before["two"]


def test_a_file_that_has_not_changed_is_not_parsed_again():
    builder = DesiredBuilder(SHIPPED)
    builder.build(tree_of(FILES))
    known = [file for file in tree_of(FILES).files if file.path != "team-a/one.yaml"]
    unparsable = [TreeFile(file.path, file.digest, b"\0") for file in known]
    changed = tree_of({"team-a/one.yaml": session_text("one", "initialPrompt: changed")}).files
    desired = builder.build(Tree("r2", ("team-a",), (*unparsable, *changed)))
    assert [w.session.id.name for w in desired.sessions] == ["one", "two"]


def test_what_another_tree_had_is_forgotten():
    builder = DesiredBuilder(SHIPPED)
    builder.build(tree_of(FILES))
    less = {path: text for path, text in FILES.items() if "two" not in path}
    assert list(manifests(builder.build(tree_of(less)))) == ["one"]
    assert list(manifests(builder.build(tree_of(FILES)))) == ["one", "two"]


def test_a_changed_default_makes_every_session_new():
    builder = DesiredBuilder(SHIPPED)
    before = manifests(builder.build(tree_of(FILES)))
    defaults = defaults_text("llmSettings: {model: another}")
    after = manifests(builder.build(tree_of({**FILES, "defaults.yaml": defaults})))
    assert all(after[name] != before[name] for name in ("one", "two"))


def test_another_installation_makes_every_session_new():
    builder = DesiredBuilder(SHIPPED)
    builder.build(tree_of(FILES))
    other = {**FILES, "policy.yaml": policy_text().replace("default", "second")}
    record = manifests(builder.build(tree_of(other)))["one"][0]
    assert "second" in record.body["metadata"]["labels"].values()


def test_a_session_that_moved_to_another_file_is_named_there_although_it_is_the_same():
    builder = DesiredBuilder(SHIPPED)
    builder.build(tree_of(FILES))
    moved = {path: text for path, text in FILES.items() if "one" not in path}
    moved["team-a/moved.yaml"] = f"# a comment\n{FILES['team-a/one.yaml']}"
    one = builder.build(tree_of(moved)).sessions[0]
    assert str(one.session.origin) == "team-a/moved.yaml:2:1"


@pytest.mark.parametrize("path", ["policy.yaml", "defaults.yaml"])
def test_without_a_usable_policy_or_defaults_nothing_is_built(path):
    with pytest.raises(SpecError) as caught:
        built({**FILES, path: "kind: Nonsense\n"})
    assert all(problem.path == path for problem in caught.value.problems)


def test_a_tree_that_could_not_be_built_is_not_remembered():
    builder = DesiredBuilder(SHIPPED)
    broken = tree_of({**FILES, "policy.yaml": "kind: Nonsense\n"})
    for _ in range(2):
        with pytest.raises(SpecError):
            builder.build(broken)
    assert len(builder.build(tree_of(FILES)).sessions) == 2


def test_a_template_that_cannot_be_read_stops_everything():
    with pytest.raises(SpecError) as caught:
        built(templates={**SHIPPED, "odd.yaml.j2": "{% if %}"})
    assert [problem.path for problem in caught.value.problems] == ["odd.yaml.j2"]


def test_a_template_that_fails_for_one_session_leaves_the_others():
    desired = built(templates={**SHIPPED, "odd.yaml.j2": FAILS_FOR_ONE})
    assert list(manifests(desired)) == ["two"]
    assert {str(session) for session in desired.broken} == {"team-a/one"}
    assert desired.unreadable == {"team-a"}
    assert "team-a/one" in str(desired.problems[0])


def test_sessions_that_want_the_same_object_are_all_left_out():
    files = {**FILES, "team-a/two.yaml": session_text("one-inputs")}
    files["team-a/three.yaml"] = session_text("three")
    desired = built(files, {**SHIPPED, "named-alike.yaml.j2": NAMED_ALIKE})
    assert list(manifests(desired)) == ["three"]
    assert {session.name for session in desired.broken} == {"one", "one-inputs"}
    assert desired.unreadable == {"team-a"}
    assert [problem.path for problem in desired.problems] == ["team-a/one.yaml", "team-a/two.yaml"]


def test_a_broken_file_breaks_its_own_sessions_only():
    desired = built({**FILES, "team-a/two.yaml": session_text("two", "nonsense: 1")})
    assert list(manifests(desired)) == ["one"]
    assert {session.name for session in desired.broken} == {"two"}
    assert desired.unreadable == {"team-a"}


def test_a_file_that_could_not_be_read_is_a_problem_of_its_namespace():
    tree = tree_of(FILES)
    unreadable = TreeFile("team-a/three.yaml", "", b"", "cannot be read: no")
    desired = DesiredBuilder(SHIPPED).build(Tree("", tree.folders, (*tree.files, unreadable)))
    assert [str(problem) for problem in desired.problems] == [
        "team-a/three.yaml: cannot be read: no"
    ]
    assert desired.unreadable == {"team-a"}


def test_warnings_are_part_of_the_result():
    text = session_text("one", "timeout: 60")
    assert built({**FILES, "team-a/one.yaml": text}).warnings


def test_a_masker_gets_what_files_declare_and_rendered_secrets_also_of_broken_trees():
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: '{{ session.name }}-key'}\n"
    templates = {"key.yaml.j2": secret, "fails.yaml.j2": FAILS_FOR_ONE}
    builder = DesiredBuilder(templates)
    builder.build(tree_of(FILES))
    assert _declared_names(builder) == [None, "one", "two", "two-key"]
    builder = DesiredBuilder(templates)
    with pytest.raises(SpecError):
        builder.build(tree_of({**FILES, "policy.yaml": "x: 1\n"}))
    assert _declared_names(builder) == [None, None, "one", "two"]


def _declared_names(builder):
    """The names of all documents; settings have none."""
    return [each.get("metadata", {}).get("name") for each in builder.iter_declared()]
