"""The environment of programs that this one starts."""

import pytest

from reconcile.runtime.settings import build_child_environ

TOKENS = ["RECONCILE_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"]


def test_programs_do_not_get_the_tokens_of_a_job():
    environ = {**dict.fromkeys(TOKENS, "secret"), "HOME": "/home/ann", "AWS_PROFILE": "ci"}
    assert build_child_environ(environ) == {"HOME": "/home/ann", "AWS_PROFILE": "ci"}


def test_the_url_of_a_gitlab_repository_contains_a_token():
    assert build_child_environ({"CI_REPOSITORY_URL": "https://ci:token@example.com/a"}) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin:/bin", {"PATH": "/usr/bin:/bin"}),
        (".:/usr/bin::bin:../bin", {"PATH": "/usr/bin"}),
        (".", {}),
        ("", {}),
    ],
)
def test_no_program_is_found_in_the_working_directory(path, expected):
    assert build_child_environ({"PATH": path}) == expected
