"""One comment on a pull request is maintained despite failures, on both forges."""

import pytest

from reconcile.ci.forge import (
    CommentError,
    CommentForbiddenError,
    TransientCommentError,
    upsert_comment,
)
from reconcile.ci.github import GitHubComments, GitHubPullRequest
from reconcile.ci.gitlab import GitLabMergeRequest, GitLabNotes
from tests.ci.forges import OTHER_USER, READER, TOO_LONG, WRITER, Answer, GitHub

MARKER = "<!-- reconcile review: desired -->"


def comments_of(forge, token=WRITER):
    if isinstance(forge, GitHub):
        url = forge.url
        return GitHubComments(GitHubPullRequest(url, f"{url}/graphql", "acme/sessions", 5, token))
    page = "https://gitlab.example/acme/sessions"
    return GitLabNotes(GitLabMergeRequest(forge.url, "12", page, 5, token))


@pytest.fixture
def keep(forge, clock):
    def kept(text, token=WRITER):
        return upsert_comment(comments_of(forge, token), MARKER, f"{MARKER}\n{text}", clock)

    return kept


def test_first_a_comment_is_created_then_updated_then_left_alone(forge, keep):
    created, updated, unchanged = keep("one"), keep("two"), keep("two")
    actions = [created.action, updated.action, unchanged.action]
    assert actions == ["created", "updated", "unchanged"]
    assert created.url == updated.url == unchanged.url
    assert [body.replace("\r", "") for body in forge.bodies()] == [f"{MARKER}\ntwo"]


def test_no_change_sends_no_write(forge, keep):
    keep("one")
    before = len(forge.writes)
    keep("one")
    assert len(forge.writes) == before


def test_our_comment_is_found_behind_hundreds_of_others(forge, keep):
    for number in range(250):
        forge.add(f"remark {number}", OTHER_USER)
    keep("one")
    for number in range(150):
        forge.add(f"more {number}", OTHER_USER)
    assert keep("two").action == "updated"
    assert len(forge.bodies()) == 1


def test_a_comment_of_another_account_with_our_marker_is_not_changed(forge, keep):
    forge.add(f"{MARKER}\nbelieve me", OTHER_USER)
    assert keep("one").action == "created"
    assert forge.bodies(OTHER_USER) == [f"{MARKER}\nbelieve me"]


def test_our_other_comments_are_not_touched(forge, keep):
    other = f"<!-- reconcile review: other -->\n{MARKER}\nquoted"
    forge.add(other)
    keep("one")
    keep("two")
    assert other in forge.bodies()
    assert len(forge.bodies()) == 2


def test_of_two_that_a_race_has_made_the_oldest_stays(forge, keep):
    first = forge.add(f"{MARKER}\nfrom one run")
    forge.add(f"{MARKER}\nfrom another")
    assert keep("now").action == "updated"
    assert [comment["id"] for comment in forge.comments.values()] == [first["id"]]


def test_two_runs_that_create_at_once_agree_on_one(forge, clock):
    comments = comments_of(forge)
    real, rival = comments.create, []

    def create(body):
        if not rival:
            rival.append(forge.add(f"{MARKER}\nthe rival's"))
        return real(body)

    comments.create = create
    kept = upsert_comment(comments, MARKER, f"{MARKER}\nmine", clock)
    assert kept.action == "updated"
    assert list(forge.comments) == [rival[0]["id"]]
    assert "mine" in forge.bodies()[0]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_temporary_failure_is_retried(forge, keep, clock, code, method):
    forge.fail_next(method, Answer(code, {"message": "later"}), Answer(code))
    assert keep("one").action == "created"
    assert len(clock.waits) == 2
    assert len(forge.comments) == 1


def test_a_comment_whose_answer_was_lost_is_not_made_twice(forge, keep):
    keep("zero")
    forge.comments.clear()
    forge.fail_next("POST", Answer(502, late=True))
    assert keep("one").action == "unchanged"
    assert len(forge.comments) == 1


def test_a_server_that_stays_away_is_given_up_with_the_reason(forge, keep):
    forge.fail_next("GET", *[Answer(503, {"message": "maintenance"})] * 9)
    with pytest.raises(TransientCommentError, match="503 maintenance"):
        keep("one")


def test_the_servers_retry_after_is_obeyed(forge, keep, clock):
    forge.fail_next("GET", Answer(429, headers={"Retry-After": "77"}))
    keep("one")
    assert clock.waits == [77.0]


def test_a_retry_after_of_an_hour_is_not_waited_for(forge, keep, clock):
    forge.fail_next("GET", Answer(429, {"message": "slow down"}, {"Retry-After": "3600"}))
    with pytest.raises(TransientCommentError, match="slow down"):
        keep("one")
    assert clock.waits == []


def test_a_comment_that_is_deleted_concurrently_is_created_again(forge, keep):
    keep("one")
    update = "PATCH" if isinstance(forge, GitHub) else "PUT"

    class Gone(Answer):
        @property
        def body(self):
            forge.comments.clear()
            return {"message": "gone"}

        @body.setter
        def body(self, _):
            pass

    forge.fail_next(update, Gone(404))
    assert keep("two").action == "created"
    assert len(forge.comments) == 1


def test_a_duplicate_that_is_deleted_concurrently_is_not_a_failure(forge, keep):
    forge.add(f"{MARKER}\nfirst")
    forge.add(f"{MARKER}\nsecond")
    forge.fail_next("DELETE", Answer(404, {"message": "gone"}))
    assert keep("now").action == "updated"


def test_a_token_that_only_reads_is_denied_and_the_right_is_named(keep):
    with pytest.raises(CommentForbiddenError, match=r"pull-requests: write|scope `api`"):
        keep("one", READER)


def test_a_wrong_token_is_not_tried_again_and_never_shown(keep, clock):
    with pytest.raises(CommentError, match="401") as raised:
        keep("one", "s3cr3t-of-mine")
    assert "s3cr3t" not in str(raised.value)
    assert clock.waits == []


def test_a_netrc_does_not_replace_the_token(keep, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ann password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert keep("one").action == "created"


def test_the_token_goes_to_no_other_host(forge, keep):
    link = {"Link": '<http://elsewhere.example/more>; rel="next"'}
    forge.fail_next("GET", *([] if isinstance(forge, GitHub) else [Answer(200, {"id": 1})]))
    forge.fail_next("GET", Answer(200, [], link))
    with pytest.raises(CommentError, match=r"another host, elsewhere\.example"):
        keep("one")


def test_a_redirect_is_not_followed(forge, keep):
    forge.fail_next("GET", Answer(302, headers={"Location": "http://elsewhere.example/"}))
    with pytest.raises(CommentError, match="302"):
        keep("one")


def test_a_server_that_does_not_respond_may_recover(forge, clock):
    comments = comments_of(forge)
    forge.server.shutdown()
    forge.server.server_close()
    with pytest.raises(TransientCommentError, match=r"no complete response from 127\.0\.0\.1"):
        upsert_comment(comments, MARKER, MARKER, clock)
    assert len(clock.waits) == 4


def test_a_response_that_is_not_json_is_retried_and_one_that_is_not_a_list_is_not(github, clock):
    comments = comments_of(github)
    github.fail_next("GET", Answer(200, {"message": "a proxy's page"}))
    with pytest.raises(CommentError, match="not a list"):
        upsert_comment(comments, MARKER, MARKER, clock)


def test_github_says_what_to_do_about_a_text_that_is_too_long(github, clock):
    body = f"{MARKER}\n{'x' * TOO_LONG}"
    with pytest.raises(CommentError, match=r"422.*65,536 characters.*limit"):
        upsert_comment(comments_of(github), MARKER, body, clock)


def test_a_secondary_limit_of_github_is_not_a_missing_permission(github, clock):
    message = {"message": "You have exceeded a secondary rate limit. Please wait."}
    github.fail_next("GET", Answer(403, message))
    assert upsert_comment(comments_of(github), MARKER, MARKER, clock).action == "created"
    assert clock.waits == [60.0]


def test_the_reset_of_githubs_limit_is_compared_with_githubs_clock(github, clock):
    headers = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "1767225630",
        "Date": "Thu, 01 Jan 2026 00:00:00 GMT",
    }
    github.fail_next("GET", Answer(403, {"message": "API limit"}, headers))
    upsert_comment(comments_of(github), MARKER, MARKER, clock)
    assert clock.waits == [31.0]


def test_a_github_that_does_not_say_whose_the_token_is_means_the_jobs_own(github, clock):
    github.has_viewer = False
    github.add(f"{MARKER}\nold")
    assert upsert_comment(comments_of(github), MARKER, f"{MARKER}\nnew", clock).action == "updated"


@pytest.mark.parametrize("line", ["/merge", "  /close now", "/approve"])
def test_no_line_is_carried_out_by_gitlab(gitlab, clock, line):
    kept = upsert_comment(comments_of(gitlab), MARKER, f"{MARKER}\n{line}", clock)
    assert kept.action == "created"
    stored = gitlab.bodies()[0].splitlines()[1]
    assert stored.lstrip() == f"\\{line.lstrip()}"
    assert (
        upsert_comment(comments_of(gitlab), MARKER, f"{MARKER}\n{line}", clock).action
        == "unchanged"
    )


def test_gitlabs_own_notes_are_no_comments(gitlab, clock):
    gitlab.add(f"{MARKER}\nchanged the title", system=True)
    assert upsert_comment(comments_of(gitlab), MARKER, MARKER, clock).action == "created"
