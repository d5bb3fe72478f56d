import pytest

from reconcile.core.budget_usage import BudgetUsage, format_budget_usage, parse_budget_usage

SPENT = BudgetUsage("r1", 8, frozenset({"a/x"}), frozenset({"a/y"}))


def test_what_was_spent_is_read_as_it_was_written():
    assert parse_budget_usage(format_budget_usage(SPENT)) == SPENT


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"revision": "r1", "living": "many"}'])
def test_what_was_damaged_by_hand_counts_as_nothing_spent(text):
    assert parse_budget_usage(text) == BudgetUsage()


def test_the_same_revision_goes_on_where_it_stands():
    assert SPENT.for_revision("r1", 3) == SPENT


@pytest.mark.parametrize("revision", ["r2", "", "r1-dirty"])
def test_another_tree_begins_anew(revision):
    assert BudgetUsage(revision or "r1").for_revision(revision, 3) == BudgetUsage(revision, 3)
    assert SPENT.for_revision(revision, 3) == BudgetUsage(revision, 3)


def test_a_base_that_could_not_be_seen_is_made_up_for_with_what_is_gone_since():
    assert SPENT.without_total().for_revision("r1", 5).total_sessions == 6


def test_copies_of_one_revision_are_joined():
    other = BudgetUsage("r1", 7, frozenset({"a/z"}))
    assert SPENT | other == BudgetUsage("r1", 8, frozenset({"a/x", "a/z"}), frozenset({"a/y"}))


def test_of_two_revisions_the_first_stands():
    assert SPENT | BudgetUsage("r2", 1) == SPENT
    assert BudgetUsage() | SPENT == SPENT
