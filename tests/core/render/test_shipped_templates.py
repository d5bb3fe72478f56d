"""The shipped templates: safe pods, exact values, the platform's contract."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.manifest import find_duplicate_objects
from reconcile.core.model import LABEL_INSTALLATION, LABEL_SESSION, DesiredSession, Kind, Policy
from reconcile.core.render.render import RenderContext, render_session
from reconcile.core.render.templates import compile_templates
from tests.core.render.sessions import EVERY_FIELD, session
from tests.podsecurity import violations
from tests.session_files import SHIPPED

TEMPLATES = compile_templates(SHIPPED)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.sampled_from(
    [
        "'",
        '"',
        "a: b",
        "- x",
        "{{ session }}",
        "{% raw %}",
        "{# #}",
        "a\nb\n",
        "\u2028\x85\ufeff",
        "!!python",
        "&a *a",
        "$(HOME)",
        "null",
        "0123",
        "\\",
        "# no comment",
        "👋",
    ]
)


def bodies(one):
    result = render_session(one, TEMPLATES, RenderContext(Policy(), {"sidecar": "plain"}))
    assert isinstance(result, DesiredSession), result.problems
    return {manifest.source.split(".")[0]: manifest.body for manifest in result.manifests}


def runner(one):
    return bodies(one)["pod"]["spec"]["containers"][0]


def variables(one):
    return {
        entry["name"]: "(ref)" if "valueFrom" in entry else entry.get("value", "")
        for entry in runner(one)["env"]
    }


def test_the_shipped_templates_compile():
    assert TEMPLATES.problems == ()
    assert TEMPLATES.kinds == {
        Kind("v1", "ConfigMap"),
        Kind("v1", "Pod"),
        Kind("v1", "Service"),
        Kind("v1", "ServiceAccount"),
        Kind("networking.k8s.io/v1", "NetworkPolicy"),
    }


@pytest.mark.parametrize("spec", [{}, EVERY_FIELD])
def test_the_pod_meets_the_restricted_profile(spec):
    assert violations(bodies(session(spec))["pod"]["spec"]) == []


@pytest.mark.parametrize("spec", [{}, EVERY_FIELD])
def test_the_pod_is_bounded(spec):
    pod = bodies(session(spec))["pod"]["spec"]
    for container in (*pod["containers"], *pod.get("initContainers", ())):
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]["memory"]
    volumes = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
    assert volumes
    assert all(volume["sizeLimit"] for volume in volumes)
    assert pod["restartPolicy"] == "Never"
    assert pod["enableServiceLinks"] is False


def test_objects_have_their_documented_names():
    names = {source: body["metadata"]["name"] for source, body in bodies(session()).items()}
    assert names == {
        "(record)": "session-fix",
        "service-account": "session-fix",
        "inputs": "fix-inputs",
        "network-policy": "session-fix",
        "service": "session-fix",
        "pod": "fix-runner",
    }


def test_a_token_is_mounted_only_if_requested():
    quiet, asking = bodies(session()), bodies(session(EVERY_FIELD))
    assert quiet["pod"]["spec"]["automountServiceAccountToken"] is False
    assert asking["pod"]["spec"]["automountServiceAccountToken"] is True
    assert asking["service-account"]["automountServiceAccountToken"] is False


def test_every_field_of_the_runner_is_in_the_pod():
    pod = bodies(session(EVERY_FIELD))["pod"]["spec"]
    container = pod["containers"][0]
    assert pod["activeDeadlineSeconds"] == 3600
    assert pod["terminationGracePeriodSeconds"] == 30 + 40 + 5
    assert pod["priorityClassName"] == "high"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["volumes"][0]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert container["image"] == "example.com/runner:1"
    assert container["command"] == ["/run"]
    assert container["args"] == ["--fast", "$(LANG)"]
    assert container["ports"][0]["containerPort"] == 9000
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert container["resources"]["limits"]["memory"] == "1Gi"


def test_what_is_not_set_is_not_declared():
    assert "data" not in bodies(session())["inputs"]
    pod = bodies(session())["pod"]["spec"]
    (container,) = pod["containers"]
    assert not pod.keys() & {"nodeSelector", "tolerations", "imagePullSecrets"}
    assert not pod.keys() & {"activeDeadlineSeconds", "priorityClassName"}
    assert not container.keys() & {"command", "args", "envFrom"}


def test_the_runner_gets_the_platforms_variables():
    found = variables(session(EVERY_FIELD))
    assert found.pop("INPUTS_DIGEST")
    assert found == {
        "ACTIVE_WORKFLOW_BRANCH": "main",
        "ACTIVE_WORKFLOW_GIT_URL": "https://git.example/w",
        "ACTIVE_WORKFLOW_PATH": "flows/a",
        "AGENTIC_SESSION_NAME": "fix",
        "AGENTIC_SESSION_NAMESPACE": "team-a",
        "ARTIFACTS_DIR": "artifacts",
        "AUTO_PUSH_ON_COMPLETE": "true",
        "EMPTY": "",
        "INITIAL_PROMPT": "(ref)",
        "INPUTS_DIR": "/etc/session",
        "INTERACTIVE": "false",
        "LANG": "C",
        "LLM_MAX_TOKENS": "100",
        "LLM_MODEL": "m-2",
        "LLM_TEMPERATURE": "0.25",
        "REPOS_JSON": "(ref)",
        "SESSION_ID": "fix",
        "TIMEOUT": "60",
        "USER_ID": "u-1",
        "USER_NAME": "Ada",
        "USE_AGUI": "true",
        "WORKSPACE_PATH": "/workspace",
    }


def test_the_repositories_are_json_in_the_inputs():
    data = bodies(session(EVERY_FIELD))["inputs"]["data"]
    assert json.loads(data["REPOS_JSON"]) == [
        {"url": "https://git.example/a", "branch": "b", "autoPush": True},
        {"url": "https://git.example/c", "branch": "main", "autoPush": False},
    ]


def test_without_a_workflow_its_variables_are_absent():
    assert not [name for name in variables(session()) if name.startswith("ACTIVE_WORKFLOW")]


@pytest.mark.parametrize("name", ["INITIAL_PROMPT", "REPOS_JSON", "SESSION_ID", "INPUTS_DIGEST"])
def test_a_variable_of_the_session_replaces_that_of_the_template(name):
    spec = {**EVERY_FIELD, "environmentVariables": {name: "own"}}
    values = [entry.get("value") for entry in runner(session(spec))["env"] if entry["name"] == name]
    assert values == ["own"]


def test_an_empty_value_is_left_out_as_the_server_does():
    spec = {"environmentVariables": {"A": ""}, "userContext": {"userId": ""}}
    entries = runner(session(spec))["env"]
    assert {"name": "A"} in entries
    assert {"name": "USER_ID"} in entries


def test_a_change_of_the_inputs_shows_in_the_pod():
    before = variables(session({"initialPrompt": "a"}))
    after = variables(session({"initialPrompt": "b"}))
    assert {name for name in before if before[name] != after[name]} == {"INPUTS_DIGEST"}


def test_a_prompt_that_is_too_long_for_a_variable_is_a_file_only():
    spec = {"initialPrompt": "é" * 30_000}
    assert "INITIAL_PROMPT" not in variables(session(spec))
    assert bodies(session(spec))["inputs"]["data"]["INITIAL_PROMPT"] == "é" * 30_000


def test_a_session_without_peers_denies_all_connections():
    policy = bodies(session())["network-policy"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == []


def test_only_allowed_peers_can_connect_to_a_session():
    policy = bodies(session(EVERY_FIELD))["network-policy"]["spec"]
    assert policy["ingress"] == [
        {
            "ports": [{"port": 9000, "protocol": "TCP"}],
            "from": [
                {
                    "podSelector": {"matchLabels": {"app": "ui"}},
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ui"}},
                }
            ],
        },
        {
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "from": [{"podSelector": {}, "namespaceSelector": {"matchLabels": {"team": "a"}}}],
        },
        {
            "ports": [{"port": 9000, "protocol": "TCP"}],
            "from": [{"podSelector": {"matchLabels": {"app": "peer"}}}],
        },
    ]


def test_selectors_pick_this_sessions_pod_and_no_label_of_the_authors():
    made = bodies(session(labels={"team": "a"}))
    expected = {LABEL_INSTALLATION: "default", LABEL_SESSION: "fix"}
    assert made["service"]["spec"]["selector"] == expected
    assert made["network-policy"]["spec"]["podSelector"] == {"matchLabels": expected}
    assert expected.items() <= made["pod"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("names", "clashing"),
    [
        (["fix", "fix-runner", "fix-inputs", "session"], []),
        (["fix-inputs", "session-fix", "x"], ["fix-inputs", "session-fix"]),
    ],
)
def test_sessions_with_similar_names_share_no_object_or_are_reported(names, clashing):
    surroundings = RenderContext(Policy())
    rendered = [render_session(session(name=name), TEMPLATES, surroundings) for name in names]
    wanted = [one for one in rendered if isinstance(one, DesiredSession)]
    assert len(wanted) == len(names)
    assert [one.name for one in find_duplicate_objects(wanted)] == clashing


@settings(deadline=None)
@given(TEXT, st.dictionaries(st.from_regex("[A-Z_]{1,8}", fullmatch=True), TEXT), TEXT)
def test_every_value_is_rendered_unchanged(text, own, label):
    spec = {
        "displayName": text,
        "initialPrompt": text,
        "environmentVariables": own,
        "llmSettings": {"model": text},
        "activeWorkflow": {"gitUrl": text, "branch": text, "path": text},
        "userContext": {"userId": text, "displayName": text},
        "repos": [{"url": text, "branch": text}],
        "runner": {
            "image": text,
            "command": [text],
            "args": [text],
            "nodeSelector": {text: text},
            "imagePullSecrets": [text],
            "tolerations": [{"key": text}],
        },
        "storage": {"size": text},
        "network": {"allowFrom": [{"namespace": text or "x", "podLabels": {text: text}}]},
    }
    made = bodies(session(spec, annotations={"note": label}))
    (container,) = made["pod"]["spec"]["containers"]
    assert made["inputs"]["data"]["INITIAL_PROMPT"] == text
    assert json.loads(made["inputs"]["data"]["REPOS_JSON"])[0]["url"] == text
    assert made["(record)"]["data"]["displayName"] == text
    assert made["service"]["metadata"]["annotations"]["note"] == label
    assert container["image"] == text
    assert container["command"] == container["args"] == [text]
    assert made["pod"]["spec"]["nodeSelector"] == {text: text}
    assert made["pod"]["spec"]["tolerations"] == [{"key": text}]
    peer = made["network-policy"]["spec"]["ingress"][0]["from"][0]
    assert peer["podSelector"]["matchLabels"] == {text: text}
    values = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    assert own.items() <= values.items()
    assert values["LLM_MODEL"].replace("$$", "$") == text or "$" in text or "LLM_MODEL" in own


@pytest.mark.parametrize("text", ["$(HOME)", "$$", "a$b"])
def test_settings_are_not_read_as_references_to_variables(text):
    assert variables(session({"llmSettings": {"model": text}}))["LLM_MODEL"] == text.replace(
        "$", "$$"
    )
