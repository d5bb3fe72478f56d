"""The role of a file, determined by its path."""

import pytest

from reconcile.core.spec.assemble import assemble_tree
from reconcile.core.spec.declarations import IgnoredFile, InvalidFile
from reconcile.core.spec.layout import (
    HIDDEN_SESSION,
    FileRole,
    TemplateRole,
    classify_template,
)
from reconcile.core.spec.parse import parse_file
from tests.core.spec.documents import document, problems, session
from tests.core.spec.trees import DEFAULTS


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("policy.yaml", FileRole.POLICY),
        ("defaults.yaml", FileRole.DEFAULTS),
        ("a/project.yaml", FileRole.PROJECT),
        ("a/x.yaml", FileRole.SESSIONS),
        ("a/b/c.YML", FileRole.SESSIONS),
        ("a/policy.yaml", FileRole.SESSIONS),
        ("x.yaml", FileRole.MISPLACED),
        ("README.md", FileRole.IGNORED),
        (".x.yaml", FileRole.IGNORED),
        (".git/x.yaml", FileRole.IGNORED),
        (".team-a/x.yaml", FileRole.HIDDEN),
        (".team-a/x.txt", FileRole.IGNORED),
        (".team-a/a/x.yaml", FileRole.IGNORED),
        ("..data/x.yaml", FileRole.IGNORED),
        ("Makefile", FileRole.IGNORED),
        ("a/README.md", FileRole.IGNORED),
        ("a/OWNERS", FileRole.IGNORED),
        ("a/.gitkeep", FileRole.IGNORED),
        ("a/.x.yaml.swp", FileRole.IGNORED),
        ("a/.#x.yaml", FileRole.REFUSED),
        ("a/..x.yaml", FileRole.REFUSED),
        ("a/..old/x.yaml", FileRole.REFUSED),
        ("a/..data/x.yaml", FileRole.IGNORED),
        ("a/..2026_01_31/x.yaml", FileRole.IGNORED),
        ("a/x.YAML", FileRole.SESSIONS),
        ("a/x.Yml", FileRole.SESSIONS),
        ("a/x.json", FileRole.SESSIONS),
        ("a/x", FileRole.REFUSED),
        ("a/x.txt", FileRole.REFUSED),
        ("a/x.yaml.bak", FileRole.REFUSED),
        ("a/x.yaml~", FileRole.REFUSED),
        ("a/.x.yaml", FileRole.REFUSED),
        ("a/.b/x.YML", FileRole.REFUSED),
        ("x.yaml.disabled", FileRole.REFUSED),
        (".policy.yaml", FileRole.REFUSED),
        ("policy.txt", FileRole.REFUSED),
        ("defaults", FileRole.REFUSED),
        ("policy.md", FileRole.IGNORED),
    ],
)
def test_the_path_determines_the_role_of_a_file(path, role):
    result = parse_file(path, b"")
    assert result.role is role
    is_ignored = role in {FileRole.IGNORED, FileRole.HIDDEN}
    assert isinstance(result.content, IgnoredFile) is is_ignored
    assert bool(result.problems) is not is_ignored


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "x.yaml",
            (
                "x.yaml: is not read here: "
                "sessions belong in a folder with the name of their namespace"
            ),
        ),
        (
            "policy.yml",
            (
                "policy.yml: is not read here: "
                "sessions belong in a folder with the name of their namespace"
                "; did you mean `policy.yaml`?"
            ),
        ),
        (
            "Team_A/x.yaml",
            (
                "Team_A/x.yaml: the folder `Team_A` is not a namespace: "
                "the name must be lower-case letters, digits and `-`"
            ),
        ),
        (
            "a" * 64 + "/x.yaml",
            (
                f"{'a' * 64}/x.yaml: the folder `{'a' * 57}...` is not a namespace: "
                "the name is longer than 63 characters"
            ),
        ),
    ],
)
def test_a_file_in_the_wrong_place_is_refused(path, expected):
    assert problems(session("timeout: 1"), path) == [expected]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("pvc.yaml.j2", TemplateRole.READ),
        ("PVC.YML.J2", TemplateRole.READ),
        ("_part.j2", TemplateRole.READ),
        ("pvc.yaml", TemplateRole.REFUSED),
        ("pvc.yaml.j2.bak", TemplateRole.REFUSED),
        (".pvc.yaml.j2", TemplateRole.REFUSED),
        ("folder", TemplateRole.REFUSED),
        ("README.md", TemplateRole.IGNORED),
        (".gitkeep", TemplateRole.IGNORED),
    ],
)
def test_every_entry_of_a_template_folder_has_a_role(name, role):
    assert classify_template(name) is role


def test_a_session_in_a_hidden_folder_is_a_problem_of_the_namespace_that_it_hides():
    result = parse_file(".team-a/x.yaml", b"kind: AgenticSession\n")
    assert [str(one) for one in result.problems] == [f".team-a/x.yaml: {HIDDEN_SESSION}"]
    assert result.namespace == "team-a"


def test_other_yaml_in_a_hidden_folder_is_ignored():
    for content, problem in ((b"on: push\n", ""), (b"", "is a link")):
        result = parse_file(".github/x.yaml", content, problem)
        assert result.content == IgnoredFile()
        assert result.problems == ()


def test_an_unreadable_file_is_refused_with_the_reason():
    for path in ("team-a/x.yaml", "team-a/sub", "README.md", "policy.yaml"):
        result = parse_file(path, b"", "is a link that leaves the tree")
        assert [str(one) for one in result.problems] == [f"{path}: is a link that leaves the tree"]
        assert result.content == InvalidFile(frozenset())
    assert parse_file(".x/y", b"", "is a link that leaves the tree").problems == ()


@pytest.mark.parametrize(
    ("path", "unusable"),
    [
        ("policy.yml", True),
        ("Policy.YAML", True),
        ("policy.yaml.bak", True),
        (".defaults.yaml", True),
        ("team-a/project.yaml~", True),
        ("team-a/.project.yaml", True),
        ("other.yaml", False),
        ("team-a/one.yaml.bak", False),
        ("team-a/sub/project.yaml.bak", False),
    ],
)
def test_settings_under_another_name_make_their_sessions_unusable(path, unusable):
    """Without them, the sessions would be planned with other settings."""
    one = parse_file("team-a/one.yaml", session("timeout: 1").encode())
    found = assemble_tree([DEFAULTS, one, parse_file(path, b"")])
    assert [problem.path for problem in found.problems] == [path]
    assert (not found.sessions) is unusable
    assert found.unreadable == {"team-a" if "/" in path else ""}


@pytest.mark.parametrize(
    ("path", "kind", "place"),
    [
        ("policy.yaml", "AgenticSession", "<namespace>/<any name>.yaml"),
        ("defaults.yaml", "Policy", "policy.yaml"),
        ("team-a/project.yaml", "SessionDefaults", "defaults.yaml"),
        ("team-a/sub/project.yaml", "ProjectSettings", "<namespace>/project.yaml"),
    ],
)
def test_a_kind_in_the_wrong_file_is_refused(path, kind, place):
    (found,) = problems(document(kind, "timeout: 1"), path)
    assert f"{kind} belongs in {place}" in found
    assert found.startswith(f"{path}:2:7: kind: must be ")


def test_a_settings_file_holds_one_document_only():
    text = document("SessionDefaults", "timeout: 1")
    assert problems(f"{text}---\n{text}", "defaults.yaml") == [
        "defaults.yaml:6:1: may hold one document only"
    ]
