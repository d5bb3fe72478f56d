"""Health, and the token."""

import httpx

from tests.runner.client import TOKEN_HEADER
from tests.runner.pods import SESSION, TOKEN


def test_health_needs_no_token_and_names_the_session(pod):
    answer = httpx.get(f"{pod.runner.url}/health", trust_env=False)
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "healthy", "session_id": SESSION},
    )


def test_every_other_path_needs_the_token(pod):
    for path in ("/capabilities", "/repos/status", "/nothing", "/"):
        for headers in ({}, {TOKEN_HEADER: "another"}, {TOKEN_HEADER: ""}):
            answer = httpx.get(f"{pod.runner.url}{path}", headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"}), path


def test_healthz_needs_no_token_but_is_not_there(pod):
    assert httpx.get(f"{pod.runner.url}/healthz", trust_env=False).status_code == 404


def test_the_token_opens(pod):
    for header in (TOKEN_HEADER, TOKEN_HEADER.lower()):
        answer = httpx.get(
            f"{pod.runner.url}/capabilities", headers={header: TOKEN}, trust_env=False
        )
        assert answer.json()["session_id"] == SESSION


def test_health_does_not_change_while_a_run_is_open_or_hangs(pod):
    run = pod.client.start("silent")
    run.wait_for("RUN_STARTED")
    assert pod.client.get("/health").json()["status"] == "healthy"
