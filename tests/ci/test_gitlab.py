"""The script of the GitLab template, on a real repository and a real endpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.ci.forges import WRITER
from tests.ci.repositories import ENVIRON, Upstream
from tests.session_files import session_text

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


class Pipeline:
    """A merge request's pipeline, each time in a checkout of its own."""

    def __init__(self, folder, gitlab):
        self.folder = folder
        self.upstream = Upstream(folder)
        header, jobs = YAML(typ="safe").load_all((ROOT / "ci/gitlab.yml").read_text("utf-8"))
        self.job = jobs["reconcile:review"]
        inputs = header["spec"]["inputs"]
        self.defaults = {name: str(one.get("default", "")) for name, one in inputs.items()}
        self.environ = {
            **ENVIRON,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "GITLAB_CI": "true",
            "CI_API_V4_URL": gitlab.url,
            "CI_MERGE_REQUEST_IID": "5",
            "CI_MERGE_REQUEST_PROJECT_ID": "12",
            "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "12",
            "CI_MERGE_REQUEST_PROJECT_URL": "https://gitlab.example/acme/sessions",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": self.upstream.root,
            "RECONCILE_TOKEN": WRITER,
        }
        self._runs = 0

    def run(self, **environ):
        self._runs += 1
        path = self.folder / f"job-{self._runs}"
        self.workspace = self.upstream.checkout(path, "refs/pull/5/head", full=True)
        variables = {name: self._expand(text) for name, text in self.job["variables"].items()}
        return subprocess.run(
            ["sh", "-e", "-c", "\n".join(self.job["script"])],
            cwd=self.workspace,
            env={**self.environ, **variables, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def _expand(self, text):
        for name, value in self.defaults.items():
            text = text.replace(f"$[[ inputs.{name} ]]", value)
        assert "$[[" not in text
        return text


@pytest.fixture
def pipeline(tmp_path, gitlab):
    return Pipeline(tmp_path, gitlab)


def test_one_note_is_created_updated_and_left_alone(pipeline, gitlab):
    first = pipeline.run()
    assert first.returncode == 0, first.stdout
    assert (
        "Comment created: https://gitlab.example/acme/sessions/-/merge_requests/5" in first.stdout
    )
    pipeline.upstream.push("desired/team-a/four.yaml", session_text("four"))
    assert "Comment updated: " in pipeline.run().stdout
    assert "Comment unchanged: " in pipeline.run().stdout
    (body,) = gitlab.bodies()
    assert "team-a/two" in body
    assert "team-a/four" in body
    assert "team-a/three" not in body


def test_without_a_token_the_diff_is_in_the_log_and_in_the_artifact(pipeline, gitlab):
    done = pipeline.run(RECONCILE_TOKEN="")
    assert done.returncode == 0
    (path,) = pipeline.job["artifacts"]["paths"]
    for text in (done.stdout, (pipeline.workspace / path).read_text()):
        assert "team-a/two" in text
    assert gitlab.requests == []


def test_a_broken_file_is_in_the_note_and_fails_the_job(pipeline, gitlab):
    pipeline.upstream.push("desired/team-a/two.yaml", session_text("two", "initialPromt: x"))
    done = pipeline.run()
    assert done.returncode == 3
    assert "desired/team-a/two.yaml" in done.stdout or "team-a/two.yaml:" in done.stdout
    assert "initialPromt" in gitlab.bodies()[0]
