import pytest

from reconcile.core.inventory import (
    BudgetUsage,
    find_confirmed_usage,
    format_budget_usage,
    parse_budget_usage,
)

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


OTHER = BudgetUsage("r1", 7, frozenset({"a/z"}))


def test_the_only_copy_is_believed():
    assert find_confirmed_usage([USAGE], "r1") == USAGE
    assert find_confirmed_usage([USAGE], "r2") == USAGE
    assert find_confirmed_usage([], "r1") == BudgetUsage()


def test_what_two_copies_say_is_joined_and_what_one_says_is_not_believed():
    joined = find_confirmed_usage([USAGE, OTHER, USAGE, OTHER, BudgetUsage("r1", 1)], "r1")
    assert joined == BudgetUsage("r1", 7, frozenset({"a/x", "a/z"}), frozenset({"a/y"}))
    assert find_confirmed_usage([USAGE, OTHER], "r1") == BudgetUsage("r1")


def test_a_revision_that_one_copy_claims_is_not_the_current_one():
    forged = BudgetUsage("r2", 1_000_000, frozenset({"a/x"}))
    assert find_confirmed_usage([forged, USAGE, USAGE], "r2") == USAGE
    assert find_confirmed_usage([forged, USAGE, forged], "r2") == forged


def test_an_unknown_total_of_a_copy_does_not_count():
    unknown = BudgetUsage("r1", 0)
    assert find_confirmed_usage([unknown, unknown, OTHER, OTHER], "r1").total_sessions == 7
    assert find_confirmed_usage([unknown, unknown], "r1").total_sessions == 0


def test_a_total_that_cannot_be_written_is_damage():
    text = format_budget_usage(USAGE).replace('"living":8', '"living":1e300')
    assert parse_budget_usage(text) == BudgetUsage()
