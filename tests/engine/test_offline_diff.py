"""An offline diff reads only the files that it depends on."""

import pytest

from reconcile.core.changes import ABSENT, Create, Delete, Hold, HoldReason, Patch
from reconcile.core.errors import SpecError
from reconcile.core.mask.masker import Masker
from reconcile.core.plan.settings import WholeFile, compare_settings
from reconcile.core.render.render import find_possible_name_conflicts
from reconcile.engine import desired
from reconcile.engine.offline_diff import ReadOptions, Revision, compare_revisions
from reconcile.engine.ports import Tree, TreeFile
from tests.session_files import SHIPPED, defaults_text, policy_text, session_text, tree_of

POLICY = policy_text()
TEMPLATE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ session.name }}-x"}
"""
FREE = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ "a-" ~ session.name if session.spec.displayName == "swap" else session.name ~ "-b" }}
"""


SETTINGS = {"policy.yaml", "defaults.yaml"}


def files(*names, namespace="team-a", **others):
    """A file for each session, and a policy that allows everything."""
    made = {f"{namespace}/{name}.yaml": session_text(name) for name in names}
    return {"policy.yaml": POLICY, "defaults.yaml": defaults_text(), **made, **others}


def side(of, name, templates=SHIPPED):
    tree = of if isinstance(of, Tree) else tree_of(of, name)
    return Revision(name, tree, templates)


def compared(old, new, *, templates=(SHIPPED, SHIPPED), regular=True, whole=False):
    before, after = side(old, "before", templates[0]), side(new, "after", templates[1])
    return compare_revisions(
        before, after, ReadOptions(standard_names=regular, read_all=whole), prune=True
    )


@pytest.fixture
def read(monkeypatch):
    """The paths that were parsed, in order."""
    paths = []

    def reading(path, content, problem=""):
        paths.append(path)
        return original(path, content, problem)

    original = desired.parse_file
    monkeypatch.setattr(desired, "parse_file", reading)
    return paths


def reasons(result):
    return {change.reason for change in result.plan.changes if isinstance(change, Hold)}


def test_a_file_that_is_the_same_on_both_sides_is_not_parsed(read):
    old = files("ada", "bob", "eve")
    new = old | {"team-a/bob.yaml": session_text("bob", "displayName: Bob")}
    result = compared(old, new)
    assert [str(each.session) for each in result.plan.sessions] == ["team-a/bob"]
    assert set(read) == {*SETTINGS, "team-a/bob.yaml"}
    assert result.warnings == ()


def test_a_file_that_may_declare_a_secret_is_read_for_masks_only(read):
    secret = session_text("bob", 'environmentVariables: {DB_PASSWORD: "k9canary"}')
    words = session_text("eve", "runner: {args: [login, -u, eve, -p, k8canary]}")
    gone = session_text("zoe", 'environmentVariables: {ADA_PIN: "k7canary"}')
    same = files("dan", namespace="team-b", **{"team-a/bob.yaml": secret, "team-b/eve.yaml": words})
    policy = {"policy.yaml": policy_text("mask: ['*_CODE']")}
    code = session_text("max", 'environmentVariables: {GATE_CODE: "k6canary"}')
    same |= policy | {"team-b/max.yaml": code}
    old, new = same | files("ada") | policy | {"team-a/zoe.yaml": gone}, same | policy
    sources = []
    result = compare_revisions(
        side(old, "before"),
        side(new, "after"),
        ReadOptions(standard_names=True, on_read=sources.append),
        prune=False,
    )
    assert "team-b/eve.yaml" not in read
    masker = Masker(result.mask)
    for source in sources:
        masker.learn_later(source)
    shown = masker.mask_text("say k9canary, k8canary, k7canary, k6canary")
    assert "canary" not in shown
    assert "team-b/dan.yaml" not in read


def test_nothing_changed_needs_no_session(read):
    assert compared(files("ada"), files("ada")).plan.sessions == ()
    assert set(read) == SETTINGS


@pytest.mark.parametrize("path", ["policy.yaml", "defaults.yaml"])
def test_other_settings_of_the_installation_need_everything(read, path):
    kind = {"policy.yaml": "Policy", "defaults.yaml": "SessionDefaults"}[path]
    text = f"apiVersion: vteam.ambient-code/v1alpha1\nkind: {kind}\nspec: {{}}\n"
    compared(files("ada"), files("ada") | {path: text})
    assert "team-a/ada.yaml" in read


def test_other_templates_need_everything(read):
    more = SHIPPED | {"x.yaml.j2": TEMPLATE}
    result = compared(files("ada"), files("ada"), templates=(SHIPPED, more))
    assert "team-a/ada.yaml" in read
    assert [(type(c), c.ref.name) for c in result.plan.changes if isinstance(c, Create)] == [
        (Create, "ada-x")
    ]
    back = compared(files("ada"), files("ada"), templates=(more, SHIPPED))
    assert [c.ref.name for c in back.plan.changes if isinstance(c, Delete)] == ["ada-x"]


def test_other_settings_of_a_project_need_its_namespace_alone(read):
    text = "apiVersion: vteam.ambient-code/v1alpha1\nkind: ProjectSettings\nspec: {timeout: 60}\n"
    old = files("ada") | files("bob", namespace="team-b")
    result = compared(old, old | {"team-a/project.yaml": text})
    assert [str(each.session) for each in result.plan.sessions] == ["team-a/ada"]
    assert "team-b/bob.yaml" not in read


def test_settings_of_a_project_that_are_the_same_count_for_what_has_changed():
    text = "apiVersion: vteam.ambient-code/v1alpha1\nkind: ProjectSettings\nspec: {timeout: 60}\n"
    old = files("ada") | {"team-a/project.yaml": text}
    changed = old | {"team-a/ada.yaml": session_text("ada", "timeout: 60\ninitialPrompt: work")}
    assert compared(old, changed).plan.sessions == ()


@pytest.mark.parametrize("spelling", ["ada", "'ada'", '"\\x61da"', '"a\\\n  da"', '"\\u0061da"'])
def test_a_session_that_an_unchanged_file_declares_too_is_broken(spelling):
    old = {"policy.yaml": POLICY, "team-a/one.yaml": session_text(spelling)}
    result = compared(old, old | {"team-a/two.yaml": session_text("ada")})
    assert result.plan.sessions == ()
    assert {problem.path for problem in result.new.problems} == {
        "team-a/one.yaml",
        "team-a/two.yaml",
    }


def test_a_longer_name_that_has_the_changed_one_inside_is_not_read(read):
    old = files("ada", "ada-2", "2-ada", "nevada", "adam")
    compared(old, old | {"team-a/ada.yaml": session_text("ada", "initialPrompt: more")})
    assert set(read) == {*SETTINGS, "team-a/ada.yaml"}


def test_an_unchanged_session_whose_object_a_new_one_wants_is_broken_too():
    """Session `a-inputs` has the Record `session-a-inputs`: those are `session-a`'s inputs."""
    old = files("session-a")
    result = compared(old, old | files("a-inputs"))
    assert result.plan.sessions == ()
    assert {str(each) for each in result.new.broken} == {"team-a/session-a", "team-a/a-inputs"}


def test_namesakes_are_found_by_the_names_that_templates_use():
    assert find_possible_name_conflicts("ada") == {"ada"}
    assert "session-ada" in find_possible_name_conflicts("ada-inputs")
    assert "ada-inputs" in find_possible_name_conflicts("session-ada")


def test_the_shipped_templates_use_no_other_names():
    result = compared({"policy.yaml": POLICY}, files("ada"))
    for change in result.plan.changes:
        assert change.ref.name in {"session-ada", "ada-inputs", "ada-runner"}


def test_templates_that_name_objects_freely_need_the_namespace(read):
    """Both `a` and `b` may have an object `a-b`."""
    more = SHIPPED | {"x.yaml.j2": FREE}
    old = files("a", "b") | files("eve", namespace="team-b")
    new = old | {"team-a/b.yaml": session_text("b", "displayName: swap")}
    result = compared(old, new, templates=(more, more), regular=False)
    assert {str(each) for each in result.new.broken} == {"team-a/a", "team-a/b"}
    assert result.plan.sessions == ()
    assert "team-b/eve.yaml" not in read


def test_a_delete_needs_to_know_of_broken_files_in_its_namespace(read):
    old = files("ada", "bob") | files("eve", namespace="team-b")
    old["team-a/odd.yaml"] = "kind: ["
    new = {path: text for path, text in old.items() if path != "team-a/bob.yaml"}
    assert reasons(compared(old, new)) == {HoldReason.UNREADABLE}
    assert "team-b/eve.yaml" not in read


def test_a_broken_file_that_counts_for_the_whole_tree_is_known():
    old = files("ada", "bob") | {"odd.yaml": ""}
    new = {path: text for path, text in old.items() if path != "team-a/bob.yaml"}
    assert reasons(compared(old, new)) == {HoldReason.UNREADABLE}


def test_a_file_that_cannot_be_read_is_known_without_being_changed():
    odd = TreeFile("team-b/odd.yaml", "", b"", "cannot be read")
    trees = []
    for names in (("ada", "bob"), ("ada",)):
        tree = tree_of(files(*names))
        trees.append(Tree(tree.revision, ("team-a", "team-b"), (*tree.files, odd)))
    result = compared(*trees)
    assert [problem.path for problem in result.new.problems] == ["team-b/odd.yaml"]
    assert reasons(result) == set()


RECREATE = "update: {strategy: Recreate}\nmaxDuration: "


def restarting(count, changed):
    """So many sessions, of which some get a longer time and restart for it."""
    made = {f"team-a/s{n:03}.yaml": session_text(f"s{n:03}", RECREATE + "1h") for n in range(count)}
    new = {
        f"team-a/s{n:03}.yaml": session_text(f"s{n:03}", RECREATE + "2h") for n in range(changed)
    }
    policy = {"policy.yaml": policy_text("budgets: {restarts: {percent: 10}}")}
    return policy | made, policy | made | new


def test_a_budget_that_is_kept_needs_no_more_sessions_than_keep_it(read):
    result = compared(*restarting(200, 3))
    assert not reasons(result)
    assert len(set(read)) < 100


def test_a_budget_that_is_not_kept_reported_after_all_sessions_are_counted(read):
    result = compared(*restarting(60, 8))
    assert reasons(result) == {HoldReason.RESTART_BUDGET}
    assert len(set(read) - SETTINGS) == 60
    assert compared(*restarting(60, 8), whole=True).plan == result.plan


def test_the_last_session_differs_from_one_of_many():
    old = files("ada") | files("eve", namespace="team-b")
    without_ada = {path: text for path, text in old.items() if path != "team-a/ada.yaml"}
    assert not reasons(compared(old, without_ada))
    none = {
        "policy.yaml": policy_text(
            " namespaces: [team-a]".strip(), "budgets: {deletes: {percent: 100}}"
        )
    }
    last = compared(none | {"team-a/ada.yaml": session_text("ada")}, none)
    assert reasons(last) == {HoldReason.LAST_SESSIONS}


def test_a_session_that_could_not_be_used_counts_as_new_with_a_warning():
    old = files("ada") | {"team-a/bob.yaml": session_text("bob", "typo: 1")}
    result = compared(old, files("ada", "bob"))
    assert {type(change) for change in result.plan.changes} == {Create}
    (warning,) = result.warnings
    assert str(warning) == "team-a/bob.yaml:1:1: could not be used at before, so it counts as new"


def test_a_session_that_cannot_be_used_any_more_stays_as_it_is():
    new = files("ada") | {"team-a/bob.yaml": session_text("bob", "typo: 1")}
    result = compared(files("ada", "bob"), new)
    assert result.plan.sessions == ()
    assert [problem.path for problem in result.new.problems] == ["team-a/bob.yaml"]


def test_a_namespace_that_is_not_named_any_more_gives_a_warning():
    result = compared(files("ada"), {"policy.yaml": POLICY})
    assert result.plan.sessions == ()
    (warning,) = result.warnings
    assert warning.path == "team-a/"
    assert "spec.namespaces" in warning.message


def test_a_file_that_moves_changes_nothing():
    new = {"policy.yaml": POLICY, "team-a/deep/moved.yaml": session_text("ada")}
    assert compared(files("ada"), new).plan.sessions == ()


def test_an_old_side_that_cannot_be_used_says_which_side_it_is():
    with pytest.raises(SpecError) as caught:
        compared(files("ada") | {"policy.yaml": "kind: no"}, files("ada"))
    messages = [str(problem) for problem in caught.value.problems]
    assert messages[0].startswith("before:policy.yaml:1:")
    assert "name another one" in messages[-1]


def test_a_new_side_that_cannot_be_used_is_reported_as_always():
    with pytest.raises(SpecError) as caught:
        compared(files("ada"), files("ada") | {"policy.yaml": "kind: no"})
    assert str(caught.value).startswith("policy.yaml:1:")


def test_an_image_alone_is_patched_in_place():
    old = files() | {"team-a/ada.yaml": session_text("ada", RECREATE + "1h")}
    new = files() | {
        "team-a/ada.yaml": session_text("ada", RECREATE + "1h\nrunner: {image: 'x:2'}")
    }
    (change,) = (c for c in compared(old, new).plan.changes if c.ref.kind == "Pod")
    assert isinstance(change, Patch)


def policy_of(spec):
    lines = "\n".join(f"  {line}" for line in spec.splitlines())
    return f"apiVersion: vteam.ambient-code/v1alpha1\nkind: Policy\nspec:\n{lines}\n"


def settings(old, new, **more):
    result = compared(old, new, **more)
    listed: list[tuple] = []
    for each in result.settings:
        if isinstance(each, WholeFile):
            listed.append((each.file, each.event))
        else:
            listed.append((each.file, each.change.path, each.change.before, each.change.after))
    return listed


def test_a_loosened_policy_is_reported_although_no_object_changes():
    before = policy_of('mask: ["*_DSN", "*_PIN"]\nallowDeletes: []')
    after = policy_of(
        "mask: ['*_PIN']\nallowEmpty: true\nbudgets: {deletes: {percent: 100}, restarts: null}\n"
        "allowDeletes: [team-a/one]\nonConflict: heal"
    )
    sides = (files("one", **{"policy.yaml": text}) for text in (before, after))
    assert settings(*sides) == [
        ("policy.yaml", "spec.allowDeletes", ABSENT, ["team-a/one"]),
        ("policy.yaml", "spec.allowEmpty", False, True),
        ("policy.yaml", "spec.budgets.deletes.percent", 25, 100),
        ("policy.yaml", "spec.mask", ["*_DSN"], ABSENT),
    ]


def test_a_policy_that_is_removed_falls_back_to_the_defaults():
    old = files("one", **{"policy.yaml": policy_of("onConflict: report\nnamespaces: [team-a]")})
    new = files("one")
    del new["policy.yaml"]
    assert settings(old, new) == [
        ("policy.yaml", "spec.namespaces", ["team-a"], ABSENT),
        ("policy.yaml", "spec.onConflict", "report", "heal"),
    ]


def test_policy_comes_first_then_templates_then_defaults_and_projects():
    old = files("one", **{"policy.yaml": policy_of("allowEmpty: false")})
    head = "apiVersion: vteam.ambient-code/v1alpha1\nkind: "
    new = {
        **files("one", **{"policy.yaml": policy_of("allowEmpty: true")}),
        "defaults.yaml": defaults_text("timeout: 5").replace("agent:1", "x"),
        "team-a/project.yaml": f"{head}ProjectSettings\nspec: {{timeout: 6}}\n",
    }
    templates = {**SHIPPED, "mine.yaml.j2": TEMPLATE}
    found = settings(old, new, templates=(SHIPPED, templates))
    assert found[:2] == [
        ("policy.yaml", "spec.allowEmpty", False, True),
        ("mine.yaml.j2", "added"),
    ]
    assert ("defaults.yaml", "spec.runner.image", "agent:1", "x") in found
    assert found[-1] == ("team-a/project.yaml", "spec.timeout", ABSENT, 6)
    assert settings(new, new, templates=(templates, SHIPPED)) == [("mine.yaml.j2", "removed")]
    changed = {**templates, "mine.yaml.j2": f"{TEMPLATE}data: {{}}\n"}
    assert settings(new, new, templates=(templates, changed)) == [("mine.yaml.j2", "changed")]


def test_a_project_file_that_is_not_yaml_has_changed_as_a_whole():
    old = files("one")
    new = {**files("one"), "team-a/project.yaml": "x: ["}
    assert settings(old, new) == [("team-a/project.yaml", "changed")]


def test_the_secrets_of_both_sides_can_be_learned_before_anything_is_shown():
    sources = []
    options = ReadOptions(standard_names=True, on_read=sources.append)
    before, after = side(files("one"), "before"), side(files("two"), "after")
    compare_revisions(before, after, options, prune=True)
    names = {each["metadata"].get("name") for source in sources for each in source()}
    assert "two" in names


def test_a_list_in_another_order_is_a_change():
    changes = list(compare_settings("a", {"x": ["a", "b"], "y": 1}, {"x": ["b", "a"], "y": None}))
    assert [(each.change.path, each.change.before, each.change.after) for each in changes] == [
        ("x", ["a", "b"], ["b", "a"]),
        ("y", 1, ABSENT),
    ]
