"""Broken files affect as little as possible, and nothing that they may declare is pruned."""

import pytest

from reconcile.core.errors import Problem
from reconcile.core.model import SessionId
from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.parse import parse_file
from tests.core.spec.documents import document, session
from tests.core.spec.trees import DEFAULTS, GOOD, names, tree


def test_the_same_session_in_two_files_is_used_from_neither():
    found = tree(team_a__x=GOOD, team_a__y=GOOD, team_a__z=session("", name="z"), team_b__x=GOOD)
    assert names(found) == ["team-a/z", "team-b/good"]
    assert found.broken == {SessionId("team-a", "good")}
    assert found.unreadable == {"team-a"}
    assert [str(problem) for problem in found.problems] == [
        (
            "team-a/x.yaml:1:1: metadata.name: session team-a/good is declared twice: "
            "team-a/y.yaml:1:1"
        ),
        (
            "team-a/y.yaml:1:1: metadata.name: session team-a/good is declared twice: "
            "team-a/x.yaml:1:1"
        ),
    ]


def test_a_parent_of_the_folder_of_session_files_is_refused():
    """`reconcile apply .` would otherwise create the sessions in a namespace called `desired`."""
    found = tree(
        desired__team_a__x=GOOD,
        desired__team_b__y=session("", name="y"),
        desired__team_b__z=session("", name="z"),
        team_c__x=GOOD,
    )
    assert names(found) == ["team-c/good"]
    assert found.unreadable == {"desired"}
    assert [(problem.path, problem.message[:18]) for problem in found.problems] == [
        ("desired/team-a/", "is it a namespace,"),
        ("desired/team-b/", "is it a namespace,"),
    ]


def test_folders_below_a_listed_namespace_are_its_own():
    policy = document("Policy", "namespaces: [team-a]")
    found = tree(policy=policy, team_a__agents__x=GOOD)
    assert (names(found), found.problems) == (["team-a/good"], ())


def test_the_same_session_twice_in_one_file_is_refused():
    found = tree(team_a__x=f"{GOOD}---\n{GOOD}")
    assert names(found) == []
    assert [problem.line for problem in found.problems] == [1, 8]


def test_a_file_with_problems_stops_pruning_in_its_namespace_alone():
    found = tree(team_a__x=session("zzz: 1", name="bad"), team_a__y=GOOD, team_b__x=GOOD)
    assert names(found) == ["team-a/good", "team-b/good"]
    assert found.broken == {SessionId("team-a", "bad")}
    assert found.unreadable == {"team-a"}


def test_a_session_that_is_broken_in_one_file_is_not_taken_from_another():
    found = tree(team_a__x=session("zzz: 1", name="good"), team_a__y=GOOD)
    assert names(found) == []
    assert found.broken == {SessionId("team-a", "good")}


def test_a_file_that_cannot_be_parsed_names_no_sessions():
    found = tree(team_a__x="a: [", team_a__y=GOOD)
    assert names(found) == ["team-a/good"]
    assert (found.broken, found.unreadable) == (frozenset(), {"team-a"})


@pytest.mark.parametrize("broken", ["policy", "defaults"])
def test_without_the_installations_settings_no_session_is_used_and_nothing_is_pruned(broken):
    found = tree(**{broken: "a: ["}, team_a__x=GOOD, team_b__x=GOOD)
    assert names(found) == []
    assert found.broken == {SessionId("team-a", "good"), SessionId("team-b", "good")}
    assert found.unreadable == {""}


def test_without_its_projects_settings_no_session_of_a_namespace_is_used():
    found = tree(team_a__project="a: [", team_a__x=GOOD, team_b__x=GOOD)
    assert names(found) == ["team-b/good"]
    assert found.broken == {SessionId("team-a", "good")}
    assert found.unreadable == {"team-a"}


@pytest.mark.parametrize("path", ["x.yaml", "Team_A/x.yaml", "linked"])
def test_a_file_without_a_namespace_stops_pruning_everywhere(path):
    bad = parse_file(path, GOOD.encode(), "is a link that leaves the tree")
    found = assemble_tree([DEFAULTS, bad, parse_file("team-a/x.yaml", GOOD.encode())])
    assert names(found) == ["team-a/good"]
    assert found.unreadable == {""}


def test_a_link_that_leaves_the_tree_stops_pruning_in_its_namespace():
    bad = parse_file("team-a/sub", b"", "is a link that leaves the tree")
    found = assemble_tree([bad])
    assert found.unreadable == {"team-a"}
    assert found.problems == (Problem("team-a/sub", 0, 0, "", "is a link that leaves the tree"),)


def test_the_namespaces_are_the_folders_unless_the_policy_lists_them():
    folders = ["team-a", "team-b", ".git", "Docs"]
    assert tree(folders).namespaces == {"team-a", "team-b"}
    policy = document("Policy", "namespaces: [team-a, team-c]")
    assert tree(folders, policy=policy).namespaces == {"team-a", "team-c"}


def test_a_folder_that_the_policy_does_not_list_is_refused():
    found = tree(
        ["team-a", "team-b", "docs"],
        policy=document("Policy", "namespaces: [team-a]"),
        team_a__x=GOOD,
        team_b__x=GOOD,
        team_b__y=session("", name="y"),
        team_c__x="",
    )
    assert names(found) == ["team-a/good"]
    assert found.broken == {SessionId("team-b", "good"), SessionId("team-b", "y")}
    assert found.unreadable == {"team-b", "team-c"}
    assert [str(problem) for problem in found.problems if not problem.path.endswith(".yaml")] == [
        "team-b/: this namespace is not in `spec.namespaces` of policy.yaml: add it there",
        "team-c/: this namespace is not in `spec.namespaces` of policy.yaml: add it there",
    ]
