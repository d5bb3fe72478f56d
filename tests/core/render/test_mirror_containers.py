"""The shipped pod with a mirror and a runner: both kinds of sidecar, and their access."""

import json
from hashlib import sha256

import pytest

from tests.core.render.sessions import OWN_IMAGE, session, shipped_bodies
from tests.podsecurity import violations

SHARED = {"storage": {"mode": "shared", "sharedSecretName": "ours"}}
CUSTOM = {
    "storage": {
        "mode": "custom",
        "secretName": "theirs",
        "sharedSecretName": "ours",
        "bucket": "a-bucket",
        "endpoint": "https://s3.example",
        "tokenAudience": "sts.example",
        "caConfigMapName": "authorities",
    },
    "mirror": {
        "port": 9999,
        "partial": "refuse",
        "exclude": ["*.o", "/big file"],
        "defaultExcludes": False,
        "singleWriter": True,
        "maxFiles": 20_000,
        "flushSeconds": 100,
        "bandwidth": "20MiB",
        "intervalSeconds": 7,
        "staleSeconds": 8,
        "resources": {"limits": {"memory": "1Gi"}},
    },
    "runner": {"terminationGracePeriodSeconds": 30, "port": 9000},
}
SHAPES = ["native", "plain"]
MIRRORS_OWN = {"mirror-state", "store-keys", "store-token", "store-ca"}

UNMIRRORED = "c7f9444367eb0d29eaed6b86ad2a2e7dd0a673bc4c3c819664dae52ef107407f"
"""The digest of a pod without a mirror; another one would restart every session."""


def bodies(spec, shape="plain"):
    return shipped_bodies(session(spec), sidecar=shape)


def pod(spec, shape="plain"):
    return bodies(spec, shape)["pod"]["spec"]


def mirrors(spec, shape):
    """The mirror's two containers."""
    body = pod(spec, shape)
    found = [*body["initContainers"], *body["containers"]]
    return {each["name"]: each for each in found if each["name"] in {"hydrate", "sync"}}


def variables(container):
    return {
        entry["name"].removeprefix("RECONCILE_MIRROR_"): entry.get("value")
        or entry["valueFrom"]["fieldRef"]["fieldPath"]
        for entry in container["env"]
    }


def mounts(container):
    return {mount["name"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("shape", SHAPES)
def test_without_storage_the_pod_is_unchanged(shape):
    made = bodies({"mirror": CUSTOM["mirror"]}, shape)
    text = json.dumps(made, sort_keys=True)
    assert "reconcile-mirror" not in text
    assert "store" not in text
    assert "storage" not in made
    digest = sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    assert digest == UNMIRRORED


def test_a_native_mirror_is_an_init_container_and_a_sidecar():
    body = pod(SHARED, "native")
    hydrate, prepare, sync = body["initContainers"]
    assert [each["name"] for each in body["containers"]] == ["runner"]
    assert [each["name"] for each in (hydrate, prepare, sync)] == ["hydrate", "prepare", "sync"]
    assert "restartPolicy" not in hydrate
    assert sync["restartPolicy"] == "Always"
    assert sync["lifecycle"]["preStop"] == {"exec": {"command": ["reconcile-mirror", "prestop"]}}
    probed = {
        kind: sync[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")
    }
    assert probed == {
        "startup": {"path": "/healthz", "port": "mirror"},
        "readiness": {"path": "/readyz", "port": "mirror"},
        "liveness": {"path": "/healthz", "port": "mirror"},
    }
    assert "RUNNER_PORT" not in variables(sync)
    assert variables(sync)["RUNNER_SECONDS"] == "60"


def test_a_plain_mirror_runs_next_to_the_runner_and_sees_its_port_close():
    body = pod(CUSTOM, "plain")
    assert [each["name"] for each in body["initContainers"]] == ["hydrate", "prepare"]
    runner, sync = body["containers"]
    assert (runner["name"], sync["name"]) == ("runner", "sync")
    found = variables(sync)
    assert (found["RUNNER_PORT"], found["RUNNER_SECONDS"]) == ("9000", "30")
    assert not sync.keys() & {"restartPolicy", "startupProbe", "livenessProbe", "lifecycle"}
    assert sync["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spec", [SHARED, CUSTOM])
def test_a_mirrored_pod_meets_the_restricted_profile(spec, shape):
    body = pod(spec, shape)
    assert violations(body) == []
    assert "shareProcessNamespace" not in body


@pytest.mark.parametrize("shape", SHAPES)
def test_runner_and_mirror_are_one_user_and_the_mirror_writes_to_volumes_only(shape):
    body = pod(CUSTOM, shape)
    assert body["securityContext"]["runAsUser"] == body["securityContext"]["fsGroup"] == 1001
    for container in mirrors(CUSTOM, shape).values():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert not container["securityContext"].keys() & {"runAsUser", "runAsGroup"}
    assert "runAsUser" not in body["containers"][0]["securityContext"]


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_mirror_has_keys_token_and_state(shape):
    body = pod({**CUSTOM, "initialPrompt": "work"}, shape)
    others = [*body["initContainers"], *body["containers"]]
    for container in others:
        if container["name"] not in {"hydrate", "sync"}:
            assert not mounts(container) & MIRRORS_OWN
    for container in mirrors(CUSTOM, shape).values():
        assert mounts(container) == MIRRORS_OWN | {"workspace"}
        for mount in container["volumeMounts"]:
            assert mount.get("readOnly", False) is mount["name"].startswith("store-")
        assert "envFrom" not in container
        assert "secretKeyRef" not in json.dumps(container)
    assert not any(name.startswith("RECONCILE_MIRROR") for name in variables(runner_of(SHARED)))


def runner_of(spec):
    runner = pod(spec)["containers"][0]
    return {**runner, "env": [entry for entry in runner["env"] if entry.get("value")]}


def sources(spec):
    volumes = {volume["name"]: volume for volume in pod(spec)["volumes"]}
    return volumes["store-keys"]["projected"]["sources"]


def test_each_mode_mounts_its_own_secret_and_never_the_others():
    assert sources(SHARED) == [{"secret": {"name": "ours"}}]
    assert sources(CUSTOM) == [
        {"secret": {"name": "theirs"}},
        {"configMap": {"name": "fix-storage"}},
    ]
    shared, custom = mirrors(SHARED, "plain")["sync"], mirrors(CUSTOM, "plain")["sync"]
    assert "PROJECT_SECRET" not in variables(shared)
    assert variables(shared)["SHARED_SECRET"] == "/etc/mirror/keys"
    assert "SHARED_SECRET" not in variables(custom)
    assert variables(custom)["PROJECT_SECRET"] == "/etc/mirror/keys"


def test_the_sessions_bucket_replaces_that_of_the_secret():
    assert bodies(CUSTOM)["storage"]["data"] == {
        "S3_BUCKET": "a-bucket",
        "S3_ENDPOINT": "https://s3.example",
    }
    other = {**CUSTOM, "storage": {**CUSTOM["storage"], "bucket": "b-bucket"}}
    before, after = (variables(mirrors(spec, "plain")["sync"]) for spec in (CUSTOM, other))
    assert {name for name in before if before[name] != after[name]} == {"STORAGE_DIGEST"}


def test_a_shared_store_is_that_of_its_secret():
    spec = {**SHARED, "storage": {**SHARED["storage"], "bucket": "a-bucket"}}
    assert bodies(spec) == bodies(SHARED)
    assert "storage" not in bodies(spec)


def test_web_identity_is_a_token_of_its_own_audience():
    volumes = {volume["name"]: volume for volume in pod(CUSTOM)["volumes"]}
    assert volumes["store-token"]["projected"]["sources"] == [
        {
            "serviceAccountToken": {
                "audience": "sts.example",
                "expirationSeconds": 3600,
                "path": "token",
            }
        }
    ]
    assert pod(CUSTOM)["automountServiceAccountToken"] is False
    assert "store-token" not in {volume["name"] for volume in pod(SHARED)["volumes"]}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_grace_period_covers_runner_and_flush(shape):
    assert pod(CUSTOM, shape)["terminationGracePeriodSeconds"] > 30 + 100
    assert variables(mirrors(CUSTOM, shape)["sync"])["FLUSH_SECONDS"] == "100"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_setting_is_in_its_containers(shape):
    hydrate, sync = (variables(mirrors(CUSTOM, shape)[name]) for name in ("hydrate", "sync"))
    both = {
        "BANDWIDTH": "20MiB",
        "CA_FILE": "/etc/mirror/ca/ca.crt",
        "DEFAULT_EXCLUDES": "false",
        "EXCLUDE": "*.o\n/big file",
        "HOST": "status.podIP",
        "PORT": "9999",
        "PREFIX": "team-a/fix",
        "SINGLE_WRITER": "true",
        "STALE_AFTER": "8",
        "TOKEN_FILE": "/etc/mirror/token/token",
        "WORKSPACE": "/workspace",
    }
    assert both.items() <= hydrate.items()
    assert both.items() <= sync.items()
    assert hydrate["PARTIAL"] == "refuse"
    assert (hydrate["POD_UID"], hydrate["POD_NAME"]) == ("metadata.uid", "metadata.name")
    record = "metadata.annotations['reconcile.ambient-code.io/record-uid']"
    assert hydrate["RECORD_UID"] == record
    assert sync["RUNNER_STATE_DIR"] == ".claude"
    assert sync["INTERVAL"] == "7"
    assert sync["MAX_FILES"] == "20000"
    for container in mirrors(CUSTOM, shape).values():
        assert container["image"] == OWN_IMAGE
        assert container["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}


def test_a_runner_with_a_stale_snapshot_is_reachable():
    assert bodies(SHARED)["service"]["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in bodies({})["service"]["spec"]
