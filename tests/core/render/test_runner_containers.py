"""The shipped pod's connection to its session: `prepare`, `bridge`, and what the runner mounts."""

import http.server
import json
import shlex
import subprocess
import sys
import threading

import pytest

from reconcile.core.model import AllowRules, Policy
from tests.controlplane import ports
from tests.core.render.sessions import EVERY_FIELD, OWN_IMAGE, session, shipped_bodies

SHAPES = ["native", "plain"]
V1 = {"apiVersion": "v1"}
"""The default of a reference to a field; the server would add it."""

STORED = {"storage": {"mode": "shared", "sharedSecretName": "ours"}}
WORK = {"initialPrompt": "work"}
CREDENTIALS = {
    "credentials": [
        {"provider": "github", "secretName": "git-keys", "keys": {"token": "GITHUB"}},
        {"provider": "mcp/search", "secretName": "search", "keys": {"api_key": "key", "b": "c"}},
    ]
}
OTHER_RUNNER = {**EVERY_FIELD, "runner": {**EVERY_FIELD["runner"], "protocol": "none"}}
OWN_CONTAINERS = {"hydrate", "prepare", "sync", "bridge"}


def bodies(spec, shape="native", policy=None):
    return shipped_bodies(session(spec), policy, sidecar=shape)


def pod(spec, shape="native"):
    return bodies(spec, shape)["pod"]["spec"]


def names(spec, shape):
    """The containers of the pod in their order: those of init, then the others."""
    body = pod(spec, shape)
    return [
        [each["name"] for each in body.get(kind, ())] for kind in ("initContainers", "containers")
    ]


def containers(spec, shape="native"):
    body = pod(spec, shape)
    found = [*body.get("initContainers", ()), *body["containers"]]
    return {each["name"]: each for each in found}


def settings(container):
    """The variables of a container, without our prefix; references by what they name."""
    return {
        entry["name"].removeprefix("RECONCILE_RUNNER_"): next(iter(entry["valueFrom"].values()))
        if "valueFrom" in entry
        else entry.get("value", "")
        for entry in container["env"]
    }


def mounts(container):
    """The mounts of a container: its volumes by path."""
    return {
        mount["mountPath"]: (mount["name"], mount.get("subPath"), mount.get("readOnly", False))
        for mount in container["volumeMounts"]
    }


def volumes(spec):
    return {volume["name"]: volume for volume in pod(spec)["volumes"]}


@pytest.mark.parametrize(
    ("spec", "shape", "expected"),
    [
        (WORK, "native", [["prepare", "bridge"], ["runner"]]),
        (WORK, "plain", [["prepare"], ["runner", "bridge"]]),
        ({**WORK, **STORED}, "native", [["hydrate", "prepare", "sync", "bridge"], ["runner"]]),
        ({**WORK, **STORED}, "plain", [["hydrate", "prepare"], ["runner", "sync", "bridge"]]),
        (STORED, "native", [["hydrate", "prepare", "sync"], ["runner"]]),
        ({}, "native", [["prepare"], ["runner"]]),
        ({**WORK, "runner": {"protocol": "none"}}, "native", [[], ["runner"]]),
        (OTHER_RUNNER, "native", [["hydrate", "sync"], ["runner"]]),
    ],
)
def test_containers_start_in_the_order_in_which_nothing_half_made_is_stored(spec, shape, expected):
    assert names(spec, shape) == expected


@pytest.mark.parametrize(
    "spec",
    [
        {"initialPrompt": "work"},
        {"repos": [{"url": "https://git.example/a"}]},
        {"activeWorkflow": {"gitUrl": "https://git.example/w"}},
        CREDENTIALS,
        {"inactivityTimeout": 60},
        {"stopOnRunFinished": True},
    ],
    ids=lambda spec: next(iter(spec)),
)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_session_with_something_to_do_has_a_bridge(spec, shape):
    assert "bridge" in containers(spec, shape)
    assert bodies(spec, shape)["service"]["spec"]["publishNotReadyAddresses"] is True


@pytest.mark.parametrize(
    "spec",
    [{}, {"inactivityTimeout": 0}, {"interactive": False, "llmSettings": {"model": "m"}}],
    ids=str,
)
def test_a_session_without_it_has_no_bridge(spec):
    found = containers(spec)
    assert "bridge" not in found
    assert "lifecycle" not in found["runner"]
    assert "BACKEND_API_URL" not in settings(found["runner"])
    assert "pod-info" not in volumes(spec)
    assert "publishNotReadyAddresses" not in bodies(spec)["service"]["spec"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bridge_is_a_native_sidecar_where_the_cluster_has_them(shape):
    bridge = containers(WORK, shape)["bridge"]
    assert bridge.get("restartPolicy") == ("Always" if shape == "native" else None)
    assert bridge["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "bridge"}
    assert [(port["name"], port["containerPort"]) for port in bridge["ports"]] == [("bridge", 8095)]
    assert not bridge.keys() & {"livenessProbe", "startupProbe", "lifecycle"}


@pytest.mark.parametrize("shape", SHAPES)
def test_our_containers_have_one_image_and_write_to_volumes_only(shape):
    for name, container in containers(EVERY_FIELD, shape).items():
        if name in OWN_CONTAINERS:
            assert container["image"] == OWN_IMAGE
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


@pytest.mark.parametrize("shape", SHAPES)
def test_only_prepare_and_bridge_mount_credentials(shape):
    has = {
        name
        for name, container in containers(EVERY_FIELD, shape).items()
        if any(volume == "credentials" for volume, *_ in mounts(container).values())
    }
    assert has == {"prepare", "bridge"}


def test_credentials_are_files_by_provider_and_field_of_secrets_that_may_be_missing():
    assert volumes(CREDENTIALS)["credentials"]["projected"] == {
        "defaultMode": 0o440,
        "sources": [
            {
                "secret": {
                    "name": "git-keys",
                    "optional": True,
                    "items": [{"key": "GITHUB", "path": "github/token"}],
                }
            },
            {
                "secret": {
                    "name": "search",
                    "optional": True,
                    "items": [
                        {"key": "key", "path": "mcp/search/api_key"},
                        {"key": "c", "path": "mcp/search/b"},
                    ],
                }
            },
        ],
    }
    assert "credentials" not in volumes(WORK)


def test_the_bridge_knows_the_pods_uid_and_annotations():
    assert volumes(WORK)["pod-info"]["downwardAPI"]["items"] == [
        {"path": "uid", "fieldRef": {**V1, "fieldPath": "metadata.uid"}},
        {"path": "annotations", "fieldRef": {**V1, "fieldPath": "metadata.annotations"}},
    ]
    token = next(e for e in containers(WORK)["runner"]["env"] if e["name"] == "AGUI_TOKEN")
    assert token["valueFrom"] == {"fieldRef": {**V1, "fieldPath": "metadata.uid"}}


def test_prepare_has_its_settings():
    found = settings(containers(EVERY_FIELD)["prepare"])
    sources = json.loads(found.pop("CREDENTIAL_SOURCES"))
    assert sources == [
        {
            "provider": "github",
            "secretName": "git-keys",
            "keys": {"token": "GITHUB"},
            "host": "github.com",
        },
        {"provider": "mcp/search", "secretName": "search", "keys": {"api_key": "key"}},
    ]
    hosts = found.pop("ALLOWED_HOSTS")
    assert hosts["key"] == "RECONCILE_RUNNER_ALLOWED_HOSTS"
    assert found == {
        "CA_FILE": "/etc/runner-ca/ca-bundle.crt",
        "CREDENTIALS": "/etc/credentials",
        "INPUTS": "/etc/session",
        "MAX_BYTES": "1Gi",
        "ON_FAILURE": "Continue",
        "STATE": "/var/lib/reconcile-runner",
        "STATE_DIR": ".agent",
        "TMPDIR": "/var/lib/reconcile-runner",
        "WORKSPACE": "/workspace",
    }


def test_the_bridge_has_its_settings():
    found = settings(containers(EVERY_FIELD)["bridge"])
    assert found.keys() - settings(containers(EVERY_FIELD)["prepare"]).keys() == {
        *("HOST", "INACTIVITY_SECONDS", "MIRROR_PORT", "NAMESPACE", "ON_INTERRUPTED_RUN"),
        *("POD_INFO", "PORT", "RUNNER_PORT", "SESSION", "STOP_ON_RUN_FINISHED"),
    }
    assert found["HOST"] == {**V1, "fieldPath": "status.podIP"}
    assert (
        found.items()
        >= {
            "INACTIVITY_SECONDS": "30",
            "MIRROR_PORT": "8091",
            "NAMESPACE": "team-a",
            "ON_INTERRUPTED_RUN": "Continue",
            "POD_INFO": "/etc/podinfo",
            "PORT": "8095",
            "RUNNER_PORT": "9000",
            "SESSION": "fix",
            "STATE_DIR": ".agent",
            "STOP_ON_RUN_FINISHED": "true",
        }.items()
    )
    small = settings(containers(WORK)["bridge"])
    assert not small.keys() & {"MIRROR_PORT", "INACTIVITY_SECONDS", "STOP_ON_RUN_FINISHED"}


@pytest.mark.parametrize("command", ["prepare", "bridge"])
def test_each_directory_in_the_settings_is_a_mount(command):
    container = containers(EVERY_FIELD)[command]
    found = settings(container)
    where = [found[name] for name in ("WORKSPACE", "INPUTS", "STATE", "CREDENTIALS", "TMPDIR")]
    where += [found["CA_FILE"].rpartition("/")[0]]
    where += [found["POD_INFO"]] if command == "bridge" else []
    assert set(where) == set(mounts(container))
    writable = {path for path, (*_, read_only) in mounts(container).items() if not read_only}
    assert writable == {"/workspace", "/var/lib/reconcile-runner"}


def test_the_hosts_of_the_policy_are_an_input_so_that_they_replace_no_pod():
    policy = Policy(allow=AllowRules(repository_hosts=("git.example", "*.corp.example")))
    key = "RECONCILE_RUNNER_ALLOWED_HOSTS"
    free, bounded = bodies(WORK), bodies(WORK, policy=policy)
    assert bounded["inputs"]["data"][key] == "git.example\n*.corp.example"
    assert key not in free["inputs"]["data"]
    assert free["pod"] == bounded["pod"]
    assert key not in bodies(OTHER_RUNNER, policy=policy)["inputs"]["data"]


def test_the_conversation_is_in_the_workspace_and_below_the_home_folder():
    assert mounts(containers({})["runner"]) == {
        "/workspace": ("workspace", None, False),
        "/etc/session": ("inputs", None, True),
        "/app/.claude": ("workspace", ".claude", False),
    }
    found = containers(EVERY_FIELD)["runner"]
    assert mounts(found)["/home/agent/.agent"] == ("workspace", ".agent", False)


def test_a_session_chooses_the_state_directory_by_its_variables():
    gemini = containers({"environmentVariables": {"RUNNER_TYPE": "gemini-cli"}})
    assert settings(gemini["runner"])["RUNNER_STATE_DIR"] == ".gemini"
    own = {"environmentVariables": {"RUNNER_STATE_DIR": ".mine"}}
    found = containers({**own, **WORK, **STORED})
    assert "/app/.mine" in mounts(found["runner"])
    assert settings(found["prepare"])["STATE_DIR"] == settings(found["bridge"])["STATE_DIR"]
    assert settings(found["sync"])["RECONCILE_MIRROR_RUNNER_STATE_DIR"] == ".mine"


@pytest.mark.parametrize("protocol", ["ag-ui", "none"])
def test_authorities_are_where_image_and_programs_look_for_them(protocol):
    path = "/etc/pki/tls/certs/ca-bundle.crt"
    spec = {"runner": {"caConfigMapName": "authorities", "protocol": protocol}}
    runner = containers(spec)["runner"]
    assert mounts(runner)[path] == ("runner-ca", "ca-bundle.crt", True)
    assert volumes(spec)["runner-ca"]["configMap"] == {"name": "authorities"}
    names = {name for name, value in settings(runner).items() if value == path}
    assert names == {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"}


def test_a_runner_is_ready_when_it_says_so_and_is_never_ended_by_a_probe():
    runner = containers(WORK)["runner"]
    assert runner["readinessProbe"]["httpGet"] == {"path": "/health", "port": "agui"}
    assert not runner.keys() & {"livenessProbe", "startupProbe"}


def test_a_runner_without_the_platforms_api_gets_files_and_variables_alone():
    made = bodies(OTHER_RUNNER)
    runner = containers(OTHER_RUNNER)["runner"]
    assert runner["readinessProbe"] == {"tcpSocket": {"port": "agui"}, "periodSeconds": 5}
    assert "lifecycle" not in containers({"runner": {"protocol": "none"}})["runner"]
    assert not settings(runner).keys() & {"AGUI_TOKEN", "BACKEND_API_URL", "RUNNER_STATE_DIR"}
    assert {volume for volume, *_ in mounts(runner).values()} == {
        *("workspace", "inputs", "runner-ca"),
    }
    assert not volumes(OTHER_RUNNER).keys() & {"credentials", "runner-state", "pod-info"}
    sync = settings(containers(OTHER_RUNNER)["sync"])
    assert "RECONCILE_MIRROR_RUNNER_STATE_DIR" not in sync
    assert made["inputs"]["data"]["INITIAL_PROMPT"] == EVERY_FIELD["initialPrompt"]
    assert "initContainers" not in pod({"runner": {"protocol": "none"}})


def test_the_grace_period_is_that_of_the_runner_and_of_the_flush():
    spec = {**WORK, "runner": {"terminationGracePeriodSeconds": 30}, "mirror": {"flushSeconds": 40}}
    assert pod(spec)["terminationGracePeriodSeconds"] == 30
    assert pod({**spec, **STORED})["terminationGracePeriodSeconds"] == 30 + 40 + 5


def test_a_session_may_replace_the_hook_that_precedes_the_end():
    hook = containers(EVERY_FIELD)["runner"]["lifecycle"]["preStop"]
    assert hook == {"exec": {"command": ["/bin/stop", "now"]}}
    assert containers(OTHER_RUNNER)["runner"]["lifecycle"] == {"preStop": hook}


class Bridge:
    """A server that keeps the requests to it."""

    def __init__(self):
        self.requests = []
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                requests.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                """Keep the output free of requests."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def bridge():
    listener = Bridge()
    thread = threading.Thread(target=listener.server.serve_forever)
    thread.start()
    yield listener
    listener.server.shutdown()
    thread.join()
    listener.server.server_close()


def run_hook(port, folder):
    """Run the shipped hook with another port in a folder, as the kubelet does."""
    command = containers(WORK)["runner"]["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "python3"
    program = [sys.executable, *(each.replace("8095", str(port)) for each in command[1:])]
    environment = {"http_proxy": "http://127.0.0.1:1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        program, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_the_shipped_hook_calls_the_bridge_whatever_the_agent_has_written(bridge, tmp_path):
    for name in ("contextlib.py", "http.py"):
        tmp_path.joinpath(name).write_text("raise SystemExit(1)")
    ended = run_hook(bridge.port, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert bridge.requests == ["/prestop"]


def test_the_shipped_hook_ignores_that_nothing_listens(tmp_path):
    [port] = ports.free(1)
    ended = run_hook(port, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_shipped_hook_is_one_line():
    command = containers(WORK)["runner"]["lifecycle"]["preStop"]["exec"]["command"]
    assert "\n" not in shlex.join(command)
