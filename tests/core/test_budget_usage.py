import pytest

from reconcile.core.budget_usage import Spent, parse_spent, spent_text

SPENT = Spent("r1", 8, frozenset({"a/x"}), frozenset({"a/y"}))


def test_what_was_spent_is_read_as_it_was_written():
    assert parse_spent(spent_text(SPENT)) == SPENT


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"revision": "r1", "living": "many"}'])
def test_what_was_damaged_by_hand_counts_as_nothing_spent(text):
    assert parse_spent(text) == Spent()


def test_the_same_revision_goes_on_where_it_stands():
    assert SPENT.at("r1", 3) == SPENT


@pytest.mark.parametrize("revision", ["r2", "", "r1-dirty"])
def test_another_tree_begins_anew(revision):
    assert Spent(revision or "r1").at(revision, 3) == Spent(revision, 3)
    assert SPENT.at(revision, 3) == Spent(revision, 3)


def test_a_base_that_could_not_be_seen_is_made_up_for_with_what_is_gone_since():
    assert SPENT.without_base().at("r1", 5).living == 6


def test_copies_of_one_revision_are_joined():
    other = Spent("r1", 7, frozenset({"a/z"}))
    assert SPENT | other == Spent("r1", 8, frozenset({"a/x", "a/z"}), frozenset({"a/y"}))


def test_of_two_revisions_the_first_stands():
    assert SPENT | Spent("r2", 1) == SPENT
    assert Spent() | SPENT == SPENT
