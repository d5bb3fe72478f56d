import pytest

from reconcile.core.inventory import BudgetUsage, format_budget_usage, parse_budget_usage

USAGE = BudgetUsage("r1", 8, frozenset({"a/x"}), frozenset({"a/y"}))


def test_budget_usage_survives_a_round_trip():
    assert parse_budget_usage(format_budget_usage(USAGE)) == USAGE


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"revision": "r1", "living": "many"}'])
def test_damaged_text_counts_as_no_usage(text):
    assert parse_budget_usage(text) == BudgetUsage()


def test_the_same_revision_continues_its_usage():
    assert USAGE.for_revision("r1", 3) == USAGE


@pytest.mark.parametrize("revision", ["r2", "", "r1-dirty"])
def test_another_tree_starts_from_zero(revision):
    assert BudgetUsage(revision or "r1").for_revision(revision, 3) == BudgetUsage(revision, 3)
    assert USAGE.for_revision(revision, 3) == BudgetUsage(revision, 3)


def test_an_unknown_total_is_computed_later_with_the_deleted_sessions():
    assert USAGE.without_total().for_revision("r1", 5).total_sessions == 6


def test_copies_of_one_revision_are_joined():
    other = BudgetUsage("r1", 7, frozenset({"a/z"}))
    assert USAGE | other == BudgetUsage("r1", 7, frozenset({"a/x", "a/z"}), frozenset({"a/y"}))


def test_of_two_revisions_the_first_is_kept():
    assert USAGE | BudgetUsage("r2", 1) == USAGE
    assert BudgetUsage() | USAGE == USAGE


def test_an_unknown_total_of_one_copy_does_not_count():
    assert (BudgetUsage("r1", 0) | BudgetUsage("r1", 7)).total_sessions == 7
    assert (BudgetUsage("r1", 0) | BudgetUsage("r1", 0)).total_sessions == 0
