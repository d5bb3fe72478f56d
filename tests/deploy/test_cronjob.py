"""The CronJob's pods: restricted, with the token in the one container that needs it."""

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import DEPLOY, ROOT, documents, objects
from tests.podsecurity import violations

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def job() -> Any:
    [cronjob] = [body for body in objects("cronjob") if body["kind"] == "CronJob"]
    return cronjob["spec"]


@pytest.fixture
def pod(job: Any) -> Any:
    return job["jobTemplate"]["spec"]["template"]["spec"]


def containers(pod: Any) -> dict[str, Any]:
    return {one["name"]: one for one in [*pod["initContainers"], *pod["containers"]]}


def test_its_pods_meet_the_restricted_profile(pod: Any) -> None:
    assert violations(pod) == []


def test_its_containers_write_nowhere_but_into_the_clone(pod: Any) -> None:
    writable = {
        (name, mount["name"])
        for name, one in containers(pod).items()
        for mount in one["volumeMounts"]
        if not mount.get("readOnly")
    }
    assert writable == {("clone", "repository")}
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in containers(pod).values())


def test_its_containers_and_volumes_are_bounded(pod: Any) -> None:
    for one in containers(pod).values():
        assert one["resources"]["requests"].keys() == one["resources"]["limits"].keys()
        assert one["resources"]["limits"].keys() == {"cpu", "memory"}
    empty = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
    assert [volume.keys() for volume in empty] == [{"sizeLimit"}]


def test_only_the_reconciler_has_the_token_and_only_git_has_its_credentials(pod: Any) -> None:
    mounts = {
        name: {mount["mountPath"] for mount in one["volumeMounts"]}
        for name, one in containers(pod).items()
    }
    assert mounts == {
        "clone": {"/repository", "/credentials"},
        "reconcile": {"/repository", TOKEN},
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["serviceAccountName"] == "reconcile"


def test_passes_do_not_pile_up(job: Any, pod: Any) -> None:
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert pod["restartPolicy"] == "Never"
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] > 0
    assert job["startingDeadlineSeconds"] > 0


def test_the_clone_does_not_depend_on_credentials(pod: Any) -> None:
    [secret] = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret["optional"] is True


@pytest.mark.parametrize(
    ("repository", "request_", "is_given"),
    [
        ("https://git.example.com/a/b.git", "https://git.example.com/a/b.git", True),
        ("https://git.example.com/a/b.git", "https://evil.example/a/b.git", False),
        ("https://git.example.com/a/b.git", "https://git.example.com.evil.example/a/b.git", False),
        ("https://git.example.com/a/b.git", "https://git.example.com:8443/a/b.git", False),
        ("https://git.example.com/a/b.git", "http://git.example.com/a/b.git", False),
        ("https://git.example.com/a/b.git", "https://git.example.com/other.git", False),
        ("http://git.example.com/a/b.git", "http://git.example.com/a/b.git", False),
        ("git@git.example.com:a/b.git", "https://git.example.com/a/b.git", False),
        ("ssh://git@git.example.com/a/b.git", "https://git.example.com/a/b.git", False),
    ],
)
def test_the_password_is_for_the_repository_only(
    pod: Any, tmp_path: Path, repository: str, request_: str, is_given: Any
) -> None:
    """A server that redirects git to another host, or to http, does not get it."""
    (tmp_path / "username").write_text("bot")
    (tmp_path / "password").write_text("secret")
    environ = {
        entry["name"]: str(entry["value"])
        .replace("$(REPOSITORY)", repository)
        .replace("/credentials", str(tmp_path))
        for entry in containers(pod)["clone"]["env"]
        if "value" in entry
    }
    asked = "protocol={0}\nhost={2}\npath={3}\n\n".format(*request_.split("/", 3))
    done = subprocess.run(
        ["git", "credential", "fill"],
        input=asked.replace("protocol=https:", "protocol=https").replace("=http:", "=http"),
        capture_output=True,
        text=True,
        check=False,
        env={**environ, "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"},
    )
    assert ("password=secret" in done.stdout) is is_given


def test_the_clone_uses_no_other_protocol(pod: Any) -> None:
    values = {entry["name"]: entry.get("value") for entry in containers(pod)["clone"]["env"]}
    assert values["GIT_ALLOW_PROTOCOL"] == "https:ssh"


def test_the_image_is_that_of_this_version_and_can_be_set_in_one_place(pod: Any) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    [kustomization] = documents(DEPLOY / "cronjob" / "kustomization.yaml")
    assert kustomization["images"] == [{"name": "reconcile", "newTag": version}]
    assert {one["image"] for one in containers(pod).values()} == {f"reconcile:{version}"}


def test_what_is_cloned_comes_from_the_source_it_ships(pod: Any) -> None:
    [source] = [body for body in objects("cronjob") if body["kind"] == "ConfigMap"]
    references = [
        entry["valueFrom"]["configMapKeyRef"]
        for one in containers(pod).values()
        for entry in one["env"]
        if "valueFrom" in entry
    ]
    used = {(reference["name"], reference["key"]) for reference in references}
    assert used == {(source["metadata"]["name"], key) for key in source["data"]}
