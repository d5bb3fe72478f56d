"""The shipped templates: safe pods, exact values, the platform's contract."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconcile.core.manifest import find_duplicate_objects
from reconcile.core.model import (
    ANNOTATION_DIGEST,
    ANNOTATION_INPUTS_DIGEST,
    LABEL_INSTALLATION,
    LABEL_SESSION,
    DesiredSession,
    Kind,
)
from reconcile.core.render.render import render_session
from tests.core.render.sessions import (
    EVERY_FIELD,
    SHIPPED_TEMPLATES,
    context,
    session,
    shipped_bodies,
)
from tests.podsecurity import violations

USER_IDS = ["fixed", "assigned"]
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


def bodies(one, **capabilities):
    return shipped_bodies(one, **capabilities)


def runner(one):
    return bodies(one)["pod"]["spec"]["containers"][0]


def variables(one):
    return {
        entry["name"]: "(ref)" if "valueFrom" in entry else entry.get("value", "")
        for entry in runner(one)["env"]
    }


def test_the_shipped_templates_compile():
    assert SHIPPED_TEMPLATES.problems == ()
    assert SHIPPED_TEMPLATES.kinds == {
        Kind("v1", "ConfigMap"),
        Kind("v1", "Pod"),
        Kind("v1", "Service"),
        Kind("v1", "ServiceAccount"),
        Kind("networking.k8s.io/v1", "NetworkPolicy"),
    }


@pytest.mark.parametrize("sidecar", ["native", "plain"])
@pytest.mark.parametrize("user_ids", USER_IDS)
@pytest.mark.parametrize("spec", [{}, EVERY_FIELD])
def test_the_pod_meets_the_restricted_profile(spec, user_ids, sidecar):
    made = bodies(session(spec), userIds=user_ids, sidecar=sidecar)
    assert violations(made["pod"]["spec"]) == []


def test_the_users_group_is_the_one_that_owns_the_images_home():
    chosen = bodies(session(EVERY_FIELD), userIds="fixed")["pod"]["spec"]["securityContext"]
    assert (chosen["runAsUser"], chosen["runAsGroup"], chosen["fsGroup"]) == (1001, 0, 1001)


def test_a_pod_whose_user_the_cluster_assigns_chooses_none():
    text = json.dumps(bodies(session(EVERY_FIELD), userIds="assigned"))
    assert not [name for name in ("runAsUser", "runAsGroup", "fsGroup") if name in text]


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
    pod = bodies(session())["pod"]["spec"]
    (container,) = pod["containers"]
    assert not pod.keys() & {"nodeSelector", "tolerations", "imagePullSecrets"}
    assert not pod.keys() & {"activeDeadlineSeconds", "priorityClassName"}
    assert not container.keys() & {"command", "args", "envFrom", "lifecycle"}


INPUT_VARIABLES = {
    "ACTIVE_WORKFLOW_BRANCH",
    "ACTIVE_WORKFLOW_GIT_URL",
    "ACTIVE_WORKFLOW_PATH",
    "ARTIFACTS_DIR",
    "AUTO_PUSH_ON_COMPLETE",
    "INITIAL_PROMPT",
    "INTERACTIVE",
    "LLM_MAX_TOKENS",
    "LLM_MODEL",
    "LLM_TEMPERATURE",
    "REPOS_JSON",
    "TIMEOUT",
    "USE_AGUI",
}


def test_the_runner_gets_the_platforms_variables():
    authorities = "/etc/pki/tls/certs/ca-bundle.crt"
    found = variables(session(EVERY_FIELD))
    assert {name for name, value in found.items() if value == "(ref)"} == {
        *(INPUT_VARIABLES - {"LLM_MODEL"}),
        "AGUI_TOKEN",
    }
    servers = json.loads(found.pop("CUSTOM_MCP_SERVERS"))
    assert servers == {"custom": {"search": {"command": "search"}}, "disabled": ["webfetch"]}
    project = json.loads(found.pop("PROJECT_MCP_SERVERS").replace("$$", "$"))
    assert project["custom"] == {"wiki": {"url": "https://wiki.example/$(X)"}}
    assert {name: value for name, value in found.items() if value != "(ref)"} == {
        "AGENTIC_SESSION_NAME": "fix",
        "AGENTIC_SESSION_NAMESPACE": "team-a",
        "BACKEND_API_URL": "http://127.0.0.1:8095/api",
        "EMPTY": "",
        "GIT_SSL_CAINFO": authorities,
        "INPUTS_DIR": "/etc/session",
        "LANG": "C",
        "LLM_MODEL": "m-2",
        "NODE_EXTRA_CA_CERTS": authorities,
        "PROJECT_NAME": "team-a",
        "REQUESTS_CA_BUNDLE": authorities,
        "RUNNER_STATE_DIR": ".agent",
        "SESSION_ID": "fix",
        "SSL_CERT_FILE": authorities,
        "USER_ID": "u-1",
        "USER_NAME": "Ada",
        "WORKSPACE_PATH": "/workspace",
    }


def test_each_input_has_the_name_of_its_variable():
    made = bodies(session(EVERY_FIELD))
    assert (
        made["inputs"]["data"].items()
        >= {
            "ACTIVE_WORKFLOW_BRANCH": "main",
            "ACTIVE_WORKFLOW_GIT_URL": "https://git.example/w",
            "ACTIVE_WORKFLOW_PATH": "flows/a",
            "ARTIFACTS_DIR": "artifacts",
            "AUTO_PUSH_ON_COMPLETE": "true",
            "INITIAL_PROMPT": EVERY_FIELD["initialPrompt"],
            "INTERACTIVE": "false",
            "LLM_MAX_TOKENS": "100",
            "LLM_MODEL": "m-1",
            "LLM_TEMPERATURE": "0.25",
            "TIMEOUT": "60",
            "USE_AGUI": "true",
        }.items()
    )
    assert made["inputs"]["data"].keys() == INPUT_VARIABLES


@pytest.mark.parametrize("spec", [{}, {"runner": {"protocol": "none"}}])
def test_the_runner_refers_to_every_input_whether_it_is_set_or_not(spec):
    references = {
        entry["name"]: entry["valueFrom"]["configMapKeyRef"]
        for entry in runner(session(spec))["env"]
        if "configMapKeyRef" in entry.get("valueFrom", {})
    }
    assert references == {
        name: {"name": "fix-inputs", "key": name, "optional": True} for name in INPUT_VARIABLES
    }


def test_the_repositories_are_json_in_the_inputs():
    data = bodies(session(EVERY_FIELD))["inputs"]["data"]
    assert json.loads(data["REPOS_JSON"]) == [
        {"url": "https://git.example/a", "name": "a", "branch": "b", "autoPush": True},
        {"url": "https://git.example/c", "name": "c", "autoPush": False},
    ]


def test_an_input_that_is_not_set_is_no_key():
    assert bodies(session())["inputs"]["data"].keys() == {
        *("ARTIFACTS_DIR", "AUTO_PUSH_ON_COMPLETE", "INTERACTIVE", "LLM_MAX_TOKENS"),
        *("LLM_TEMPERATURE", "TIMEOUT", "USE_AGUI"),
    }


@pytest.mark.parametrize(
    "name", ["INITIAL_PROMPT", "REPOS_JSON", "SESSION_ID", "AGUI_TOKEN", "RUNNER_STATE_DIR"]
)
def test_a_variable_of_the_session_replaces_that_of_the_template(name):
    spec = {**EVERY_FIELD, "environmentVariables": {name: "own"}}
    values = [entry.get("value") for entry in runner(session(spec))["env"] if entry["name"] == name]
    assert values == ["own"]


def test_an_empty_value_is_left_out_as_the_server_does():
    spec = {"environmentVariables": {"A": ""}, "userContext": {"userId": ""}}
    entries = runner(session(spec))["env"]
    assert {"name": "A"} in entries
    assert {"name": "USER_ID"} in entries


REPO = {"url": "https://git.example/a"}
ACTED_ON = [
    {"initialPrompt": "other"},
    {"repos": [REPO, {"url": "https://git.example/b"}]},
    {"activeWorkflow": {"gitUrl": "https://git.example/w", "branch": "b", "path": "p"}},
    {"llmSettings": {"model": "m-3"}},
]
UNREAD = [
    {"interactive": False},
    {"timeout": 10_000},
    {"llmSettings": {"temperature": 1}},
    {"llmSettings": {"maxTokens": 1}},
    {"autoPushOnComplete": True},
]
WORKING = {"initialPrompt": "work", "repos": [REPO]}


def split_pod(spec):
    """The annotations of a session's pod without the digest of the whole, and the rest."""
    pod = bodies(session(spec))["pod"]
    annotations = dict(pod["metadata"]["annotations"])
    del annotations[ANNOTATION_DIGEST]
    rest = {**pod, "metadata": {**pod["metadata"], "annotations": {}}}
    return annotations, rest


@pytest.mark.parametrize("change", ACTED_ON, ids=lambda change: next(iter(change)))
def test_a_change_of_what_the_bridge_acts_on_shows_in_one_annotation_of_the_pod(change):
    before, after = split_pod(WORKING), split_pod({**WORKING, **change})
    assert before[1] == after[1]
    assert before[0].keys() == after[0].keys() == {ANNOTATION_INPUTS_DIGEST}
    assert before[0] != after[0]


@pytest.mark.parametrize("change", UNREAD, ids=str)
def test_a_change_of_what_the_runner_does_not_read_changes_nothing_in_the_pod(change):
    before, after = (bodies(session(spec)) for spec in (WORKING, {**WORKING, **change}))
    assert before["pod"] == after["pod"]
    assert before["inputs"]["data"] != after["inputs"]["data"]


@pytest.mark.parametrize(("length", "key"), [(29_999, "INITIAL_PROMPT"), (30_000, "LONG_PROMPT")])
def test_a_prompt_that_is_too_long_for_a_variable_has_a_key_that_no_variable_has(length, key):
    spec = {"initialPrompt": "é" * length}
    data = bodies(session(spec))["inputs"]["data"]
    assert {name: text for name, text in data.items() if name.endswith("_PROMPT")} == {
        key: "é" * length
    }
    assert "LONG_PROMPT" not in variables(session(spec))


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
    rendered = [render_session(session(name=name), SHIPPED_TEMPLATES, context()) for name in names]
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
    container = made["pod"]["spec"]["containers"][0]
    assert made["inputs"]["data"].get("INITIAL_PROMPT", "") == text
    assert made["inputs"]["data"]["LLM_MODEL"] == text
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
    assert values["USER_ID"].replace("$$", "$") == text or "$" in text or "USER_ID" in own


@pytest.mark.parametrize("text", ["$(HOME)", "$$", "a$b"])
def test_settings_are_not_read_as_references_to_variables(text):
    found = variables(session({"userContext": {"userId": text}}))
    assert found["USER_ID"] == text.replace("$", "$$")
