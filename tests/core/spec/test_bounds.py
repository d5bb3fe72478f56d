"""What session files may ask for, by the rules in `spec.allow` of the policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.bounds import find_image_error, find_repository_error
from reconcile.core.model import AllowRules
from tests.core.spec.documents import document, session
from tests.core.spec.trees import names, tree

DEFAULTS = document(
    "SessionDefaults",
    "storage: {mode: shared, sharedSecretName: store-keys}\nimage: 'mirror:1'",
)
STRICT = document(
    "Policy",
    """\
allow:
  images: [registry.example.com/agents/*, 'python:3*']
  secrets: [runner-*]
  configMaps: [runner-*]
  serviceAccountToken: false
  priorityClasses: [batch]
  nodeSelectors: [disk, zone=a]
  tolerations: [gpu]
  maxResources: {cpu: "2", memory: 8Gi, example.com/gpu: 1}
  labels: [topic, example.com/*]
  annotations: [note, eks.amazonaws.com/role-arn]
  repositoryHosts: [git.example.com]
  namespaces:
    team-b: {images: ["*"], imageDigests: true}
""",
)
IMAGE = "runner: {image: 'registry.example.com/agents/a:1'}\n"


def errors(spec="", metadata="", policy=STRICT, defaults=DEFAULTS):
    """The problems of one session, without their places and who can allow it."""
    found = tree(policy=policy, defaults=defaults, team_a__x=session(spec, metadata=metadata))
    assert bool(found.problems) == bool(found.broken)
    return [
        f"{problem.field}: {problem.message}".partition(": the owners of policy.yaml")[0]
        for problem in found.problems
    ]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("runner: {image: evil/x}", "spec.runner.image: `evil/x` is not an allowed image"),
        (
            "runner: {image: registry.example.com/agents-evil/x}",
            "spec.runner.image: `registry.example.com/agents-evil/x` is not an allowed image",
        ),
        (
            "runner: {image: 'python:3', envFrom: [{configMapRef: {name: a}}]}",
            "spec.runner.envFrom[0].configMapRef.name: ConfigMap `a` is not allowed",
        ),
        (
            "runner: {image: 'python:3', envFrom: [{secretRef: {name: payroll}}]}",
            "spec.runner.envFrom[0].secretRef.name: Secret `payroll` is not allowed",
        ),
        (
            "runner: {image: 'python:3', imagePullSecrets: [pull]}",
            "spec.runner.imagePullSecrets[0]: Secret `pull` is not allowed",
        ),
        (
            "runner: {image: 'python:3', serviceAccountToken: true}",
            "spec.runner.serviceAccountToken: is not allowed",
        ),
        (
            "runner: {image: 'python:3', priorityClassName: system-node-critical}",
            "spec.runner.priorityClassName: priority class `system-node-critical` is not allowed",
        ),
        (
            "runner: {image: 'python:3', nodeSelector: {disk: ssd, zone: a, role: control}}",
            "spec.runner.nodeSelector.role: node selector `role=control` is not allowed",
        ),
        (
            "runner: {image: 'python:3', tolerations: [{key: gpu}, {operator: Exists}]}",
            "spec.runner.tolerations[1]: taint `*` is not allowed",
        ),
        (
            "runner: {image: 'python:3', resources: {limits: {cpu: 2001m}}}",
            "spec.runner.resources.limits.cpu: is more than 2",
        ),
        (
            "runner: {image: 'python:3', resources: {limits: {example.com/gpu: 64}}}",
            "spec.runner.resources.limits[example.com/gpu]: is more than 1",
        ),
        (
            IMAGE + "mirror: {resources: {requests: {cpu: 3}, limits: {cpu: 3}}}",
            "spec.mirror.resources.requests.cpu: is more than 2",
        ),
        (
            IMAGE + "repos: [{url: 'https://git.example.com/a'}, {url: 'git@evil.example:x'}]",
            "spec.repos[1].url: repository host `evil.example` is not allowed",
        ),
        (
            IMAGE + "activeWorkflow: {gitUrl: 'https://evil.example/x'}",
            "spec.activeWorkflow.gitUrl: repository host `evil.example` is not allowed",
        ),
        (
            IMAGE + "storage: {mode: custom, secretName: theirs}",
            "spec.storage.secretName: Secret `theirs` is not allowed",
        ),
        (
            IMAGE + "storage: {caConfigMapName: theirs}",
            "spec.storage.caConfigMapName: ConfigMap `theirs` is not allowed",
        ),
    ],
)
def test_what_the_rules_do_not_allow_is_refused(spec, message):
    assert message in errors(spec)


def test_a_violation_names_the_rule_and_who_may_change_it():
    found = tree(policy=STRICT, team_a__x=session("runner: {image: evil/x}"))
    assert str(found.problems[0]) == (
        "team-a/x.yaml:6:12: spec.runner.image: `evil/x` is not an allowed image: "
        "the owners of policy.yaml can allow it in `spec.allow.images`"
    )


def test_what_the_rules_allow_is_accepted():
    spec = """\
runner:
  image: docker.io/library/python:3.12
  envFrom: [{secretRef: {name: runner-keys}}, {configMapRef: {name: runner-settings}}]
  imagePullSecrets: [runner-pull]
  priorityClassName: batch
  nodeSelector: {disk: ssd, zone: a}
  tolerations: [{key: gpu, operator: Exists}]
  resources: {limits: {cpu: 2000m, memory: 8Gi, example.com/gpu: 1}}
storage: {mode: custom, secretName: runner-s3, caConfigMapName: runner-ca}
activeWorkflow: {gitUrl: 'https://git.example.com/x'}
repos: [{url: 'ssh://git@git.example.com/y'}]
"""
    metadata = "labels: {topic: a, example.com/b: c}\nannotations: {note: x}"
    assert errors(spec, metadata) == []


def test_labels_and_annotations_have_rules():
    found = errors(IMAGE, "labels: {app: payments}\nannotations: {other: x}")
    assert found == [
        "metadata.annotations.other: annotation `other` is not allowed",
        "metadata.labels.app: label `app` is not allowed",
    ]


def test_short_image_names_are_compared_with_their_registry():
    policy = document("Policy", "allow: {images: [docker.io/team/*, localhost/x]}")
    assert errors("runner: {image: team/a}", policy=policy) == []
    assert errors("runner: {image: localhost/x}", policy=policy) == []
    assert errors("runner: {image: a}", policy=policy) == [
        "spec.runner.image: `a` is not an allowed image"
    ]


PARTS = st.text("abc.", min_size=1, max_size=6).filter(lambda part: part.strip(".") == part)


@given(PARTS, PARTS, st.lists(PARTS, min_size=1, max_size=3), st.sampled_from(["", ":1", ":3000"]))
def test_a_pattern_never_allows_an_image_of_another_registry(host, other, path, port):
    allowed = (f"{host}.example/*", f"*.{host}.example/agents/*", "python:3*")
    rules = AllowRules(images=allowed)
    for image in (
        f"{other}.evil{port}/{'/'.join(path)}",
        f"{other}.evil/x.{host}.example/agents/{path[0]}",
        f"python:3000/{path[0]}",
        f"{host}.example.evil{port}/agents/{path[0]}",
    ):
        assert find_image_error(rules, image)
    assert not find_image_error(rules, f"{host}.example/{path[0]}{port}")
    assert not find_image_error(rules, f"x.{host}.example/agents/{path[0]}")


@pytest.mark.parametrize(
    "image", ["python:3.12", "docker.io/python:3", "index.docker.io/library/python:3"]
)
def test_docker_hub_has_several_names(image):
    assert not find_image_error(AllowRules(images=("python:3*",)), image)
    assert not find_image_error(AllowRules(images=("docker.io/library/python:*",)), image)
    assert find_image_error(AllowRules(images=("docker.io/team/*",)), image)
    assert not find_image_error(AllowRules(images=("team/*",)), "docker.io/team/x")


@pytest.mark.parametrize(
    "url",
    [
        "git@GIT.example.com:x",
        "https://Git.Example.Com./x",
        "ssh://git@git.example.com:22/x",
        "git@git.example.com:x@evil.example:y",
    ],
)
def test_the_host_of_a_repository_is_the_one_that_git_connects_to(url):
    assert not find_repository_error(AllowRules(repository_hosts=("Git.example.com",)), url)
    assert find_repository_error(AllowRules(repository_hosts=("evil.example",)), url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("git.example.com@evil.example:y", "evil.example"),
        ("git@evil.example:x://git.example.com/y", "evil.example"),
        ("ssh://git.example.com@evil.example/y", "evil.example"),
        ("https://git.example.com.evil.example/y", "git.example.com.evil.example"),
        ("git@[::1]:y", "::1"),
    ],
)
def test_another_host_is_named_in_the_error(url, host):
    error = find_repository_error(AllowRules(repository_hosts=("git.example.com",)), url)
    assert error.startswith(f"repository host `{host}` is not allowed")


def test_devices_and_huge_pages_need_a_ceiling_of_their_own():
    limits = "cpu: 1, memory: 1Gi, nvidia.com/gpu: 64, hugepages-2Mi: 1Gi, ephemeral-storage: 9Gi"
    spec = f"runner: {{image: 'python:3', resources: {{limits: {{{limits}}}}}}}"
    assert errors(spec) == [
        "spec.runner.resources.limits[nvidia.com/gpu]: is not allowed",
        "spec.runner.resources.limits.hugepages-2Mi: is not allowed",
    ]
    assert errors(spec, policy=document("Policy", "allow: {images: ['*']}")) == []


def test_a_container_without_a_limit_for_memory_is_refused_where_there_is_a_ceiling():
    spec = f"{IMAGE}mirror: {{resources: {{limits: {{memory: null}}}}}}"
    assert errors(spec) == [
        "spec.mirror.resources.limits.memory: is missing, and `spec.allow.maxResources` is 8Gi"
    ]
    assert errors(spec, policy=document("Policy", "allow: {}")) == []


def test_a_namespace_has_rules_of_its_own():
    digest = f"any@sha256:{'0' * 64}"
    found = tree(
        policy=STRICT,
        team_b__x=session(f"runner: {{image: '{digest}'}}", name="pinned"),
        team_b__y=session("runner: {image: any, priorityClassName: high}", name="tag"),
    )
    assert names(found) == ["team-b/pinned"]
    assert [problem.message.partition(":")[0] for problem in found.problems] == [
        "`any` has no digest, which `spec.allow.imageDigests` in policy.yaml requires",
        "priority class `high` is not allowed",
    ]


@pytest.mark.parametrize("policy", [document("Policy", "installation: a"), STRICT])
def test_the_secrets_of_any_store_are_for_mirrors_alone(policy):
    ours = "storage: {mode: custom, secretName: runner-b}\n"
    found = tree(
        policy=policy,
        defaults=DEFAULTS,
        team_a__x=session(
            "runner: {image: 'python:3', envFrom: [{secretRef: {name: store-keys}}, "
            "{secretRef: {name: runner-b}}]}"
        ),
        team_a__y=session(f"{ours}{IMAGE}", name="other"),
    )
    assert names(found) == ["team-a/other"]
    assert {problem.field for problem in found.problems if "only mirrors" in problem.message} == {
        "spec.runner.envFrom[0].secretRef.name",
        "spec.runner.envFrom[1].secretRef.name",
    }


@pytest.mark.parametrize(
    "annotation",
    [
        "eks.amazonaws.com/role-arn",
        "iam.gke.io/gcp-service-account",
        "azure.workload.identity/client-id",
        "iam.amazonaws.com/role",
    ],
)
def test_a_role_at_a_cloud_provider_needs_a_rule(annotation):
    metadata = f"annotations: {{{annotation}: x}}"
    without = document("Policy", "installation: a")
    (found,) = errors(metadata=metadata, policy=without)
    assert "gives the session a role at a cloud provider" in found
    allowed = document("Policy", f"allow: {{annotations: ['{annotation}']}}")
    assert errors(metadata=metadata, policy=allowed) == []


def test_a_container_without_a_limit_could_use_the_whole_node():
    policy = document("Policy", "allow: {maxResources: {ephemeral-storage: 1Gi}}")
    (runner, *_) = errors(policy=policy)
    assert runner.startswith("spec.mirror.resources.limits.ephemeral-storage: is missing")


@pytest.mark.parametrize(
    ("kind", "path"), [("AgenticSession", "x.yaml"), ("ProjectSettings", "project.yaml")]
)
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("image: evil/x", "spec.image"),
        ("storage: {sharedSecretName: theirs}", "spec.storage.sharedSecretName"),
    ],
)
def test_only_defaults_may_set_what_gets_the_keys(kind, path, spec, field):
    text = session(spec) if kind == "AgenticSession" else document(kind, spec)
    found = tree(**{f"team_a__{path.removesuffix('.yaml')}": text})
    (problem,) = found.problems
    assert (problem.field, problem.message) == (
        field,
        "may be set only in defaults.yaml, by its owners: remove it",
    )


def test_a_null_takes_no_rule():
    policy = document("Policy", "allow: {maxResources: {cpu: null}, namespaces: {team-a: null}}")
    assert errors(policy=policy) == []


def test_missing_rules_are_warned_about_once():
    policy = document("Policy", "installation: a")
    sessions = {f"team_a__s{number}": session(name=f"s{number}") for number in range(3)}
    (warning,) = tree(policy=policy, **sessions).warnings
    assert str(warning).startswith("policy.yaml: spec.allow: is missing: ")
    assert tree(policy=policy).warnings == ()
    assert tree(**sessions).warnings == ()
