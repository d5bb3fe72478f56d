"""`diff --server-dry-run`: its output and exit codes."""

import pytest

from reconcile.cli.exit_codes import ExitCode, diff_exit_code

DRY = "--server-dry-run"
WRONG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one-x}\ndata: {a: c}\nextra: 1\n"


def test_a_plan_is_tried_and_nothing_is_written(tree):
    ended = tree.go("diff", DRY)
    assert ended.code == ExitCode.CHANGES
    assert "Server dry run: 6 accepted, 0 altered, 0 refused, 1 not tried." in ended.out
    assert tree.objects() == []


def test_without_the_option_no_dry_run_is_made(tree):
    assert "Server" not in tree.go("diff").out
    assert "admission" not in tree.go("diff", "-o", "json").json


def test_an_empty_plan_needs_no_dry_run(tree):
    tree.go("apply")
    ended = tree.go("diff", DRY)
    assert (ended.code, ended.err) == (ExitCode.OK, "")
    assert "Server" not in ended.out


def test_a_plan_that_the_server_would_refuse_is_not_just_changes(tree, tmp_path):
    own = tmp_path / "templates"
    own.mkdir()
    (own / "wrong.yaml.j2").write_text(WRONG)
    templates = ("--templates", str(own))
    ended = tree.go("diff", DRY, *templates)
    assert ended.code == ExitCode.REFUSED
    assert "ConfigMap team-a/one-x: refused:" in ended.out
    assert tree.objects() == []
    found = tree.go("diff", DRY, "-o", "json", *templates).json["admission"]
    assert [each["name"] for each in found if each["verdict"] == "refused"] == ["one-x"]
    assert tree.go("diff", *templates).code == ExitCode.CHANGES


@pytest.mark.parametrize(
    ("unread", "invalid", "code"),
    [
        (False, False, ExitCode.REFUSED),
        (False, True, ExitCode.INVALID),
        (True, False, ExitCode.UNREACHABLE),
    ],
)
def test_unreadable_or_invalid_input_is_more_severe_than_a_refusal(unread, invalid, code):
    assert diff_exit_code((), unreadable=unread, invalid=invalid, refused=True) == code
