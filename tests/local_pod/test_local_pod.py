"""A pod on this machine is what a kubelet makes of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import skip_if_missing
from tests.local_pod import launch
from tests.local_pod.pod import LocalPod, wait_until
from tests.local_pod.resolve import PodContext, build_variables, write_files

METADATA = {"name": "pod", "namespace": "team-a", "uid": "a-uid", "annotations": {"a/b": "c"}}
WAITS = 'trap "echo ended > $NAME; exit 3" TERM; echo > $NAME-runs; while :; do sleep 0.05; done'


def shell(name: str, text: str, **fields: Any) -> dict[str, Any]:
    """A container that runs a line of shell in the workspace."""
    mounts = [
        {"name": "workspace", "mountPath": "/workspace"},
        {"name": "inputs", "mountPath": "/etc/session", "readOnly": True},
    ]
    return {
        "name": name,
        "command": ["sh", "-c", text],
        "env": [{"name": "NAME", "value": name}],
        "workingDir": "/workspace",
        "volumeMounts": mounts,
        **fields,
    }


def make_pod(folder: Path, *containers: dict[str, Any], **spec: Any) -> LocalPod:
    """Make a pod with a workspace and the ConfigMap `inputs`."""
    volumes = [
        {"name": "workspace", "emptyDir": {}},
        {"name": "inputs", "configMap": {"name": "inputs"}},
    ]
    security = {"runAsUser": 1001, "runAsGroup": 0, "fsGroup": 1001}
    spec = {"containers": list(containers), "volumes": volumes, "securityContext": security, **spec}
    context = PodContext({"metadata": METADATA, "spec": spec})
    context.objects["ConfigMap", "inputs"] = {"PROMPT": "hello", "MODEL": "one"}
    return LocalPod(folder / "pod", context)


@pytest.fixture(params=["namespaces", "paths"])
def any_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with mount namespaces, and one without."""
    if request.param == "paths":
        monkeypatch.setattr(launch, "has_mount_namespaces", lambda: False)
        return
    with skip_if_missing():
        launch.require_users()


def variables_of(*items: dict[str, Any], **container: Any) -> dict[str, str]:
    context = PodContext({"metadata": METADATA}, {("Secret", "keys"): {"A": "secret", "B": "b"}})
    return build_variables(context, {"env": items, **container})


def test_variables_refer_to_those_before_them() -> None:
    found = variables_of(
        {"name": "A", "value": "a"},
        {"name": "BOTH", "value": "$(A) and $(LATER) and $$(A) and $(B)"},
        {"name": "LATER", "value": "x"},
        envFrom=[{"secretRef": {"name": "keys"}}],
    )
    assert found == {"A": "a", "B": "b", "BOTH": "a and $(LATER) and $(A) and b", "LATER": "x"}


def test_variables_come_from_keys_and_fields() -> None:
    def ref(key: str, **more: Any) -> dict[str, Any]:
        return {"secretKeyRef": {"name": "keys", "key": key, **more}}

    field = {"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}
    found = variables_of(
        {"name": "KEY", "valueFrom": ref("A")},
        {"name": "NONE", "valueFrom": ref("C", optional=True)},
        {"name": "FIELD", "valueFrom": field},
    )
    assert found == {"KEY": "secret", "FIELD": "c"}
    with pytest.raises(LookupError, match="keys has no C"):
        variables_of({"name": "KEY", "valueFrom": ref("C")})
    with pytest.raises(LookupError, match="ConfigMap other is missing"):
        variables_of(envFrom=[{"configMapRef": {"name": "other"}}])


def test_files_of_a_volume_are_replaced_all_at_once(tmp_path: Path) -> None:
    write_files(tmp_path, {"one": "1", "folder/two": "2"})
    before = (tmp_path / "..data").resolve()
    write_files(tmp_path, {"one": "3", "new": "4"})
    assert (before / "one").read_text() == "1"
    assert (tmp_path / "..data").resolve() != before
    shown = {each.name: each.read_text() for each in tmp_path.iterdir() if each.name[:2] != ".."}
    assert shown == {"one": "3", "new": "4"}


@pytest.mark.parametrize("target", ["/etc", "../inputs", "missing"])
def test_a_sub_path_that_leads_out_of_its_volume_is_refused(tmp_path: Path, target: str) -> None:
    pod = make_pod(tmp_path, mounting("state"))
    (pod.workspace / "state").symlink_to(target)
    with pytest.raises(RuntimeError, match="state leads out of its volume"):
        pod.start()


def test_a_sub_path_is_made_with_the_rights_of_its_volume(tmp_path: Path) -> None:
    pod = make_pod(tmp_path, mounting("state"))
    pod.start()
    assert pod.containers["one"].wait() == 0
    one, other = (pod.workspace.stat(), (pod.workspace / "state").stat())
    assert (one.st_mode, one.st_gid) == (other.st_mode, other.st_gid)


def mounting(sub_path: str) -> dict[str, Any]:
    mount = {"name": "workspace", "mountPath": "/app/state", "subPath": sub_path}
    return shell("one", "true", volumeMounts=[mount], workingDir="/")


@pytest.mark.usefixtures("any_machine")
def test_a_container_sees_its_mounts_and_writes_its_last_message(tmp_path: Path) -> None:
    text = "cat /etc/session/PROMPT > /workspace/seen; echo bye > /dev/termination-log; exit 4"
    pod = make_pod(tmp_path, shell("one", text))
    pod.start()
    assert pod.containers["one"].wait() == 4
    assert (pod.workspace / "seen").read_text() == "hello"
    if launch.has_mount_namespaces():
        assert pod.containers["one"].termination_message == "bye\n"


@pytest.mark.usefixtures("any_machine")
def test_an_init_container_that_fails_keeps_the_others_from_starting(tmp_path: Path) -> None:
    pod = make_pod(
        tmp_path, shell("one", "touch one"), initContainers=[shell("init", "echo no; exit 1")]
    )
    with pytest.raises(RuntimeError, match="init failed: no"):
        pod.start()
    assert not (pod.workspace / "one").exists()


def test_a_container_has_the_pods_user_and_writes_where_it_may(tmp_path: Path) -> None:
    with skip_if_missing():
        launch.require_users()
    text = "id -u; id -G; touch ok /app/ok; touch /etc/session/no || touch /no || echo done"
    pod = make_pod(tmp_path, shell("one", text))
    pod.start()
    assert pod.containers["one"].wait() == 0
    assert pod.containers["one"].output.splitlines()[:2] == ["1001", "0 1001"]
    assert pod.containers["one"].output.splitlines()[-1] == "done"
    assert (pod.workspace / "ok").stat().st_uid == 1001


@pytest.mark.usefixtures("any_machine")
def test_hooks_begin_at_once_and_native_sidecars_end_last(tmp_path: Path) -> None:
    """The hook of `one` waits for the end of `two`, and `native` for that of both."""
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"touch hook; {until('two')}"]}}}
    after = f'trap "cat one two && exit 5" TERM; echo > $NAME-runs; {until("native")}'
    pod = make_pod(
        tmp_path,
        shell("one", WAITS, lifecycle=hook),
        shell("two", WAITS),
        initContainers=[shell("native", after, restartPolicy="Always")],
    )
    pod.start()
    try:
        for each in ("one", "two", "native"):
            wait_until((pod.workspace / f"{each}-runs").exists, f"the start of {each}")
        ended = pod.stop()
    finally:
        pod.lose()
    assert {name: each.code for name, each in ended.items()} == {"one": 3, "two": 3, "native": 5}
    assert (pod.workspace / "hook").exists()


def until(file: str) -> str:
    return f"until test -f {file}; do sleep 0.05; done"


@pytest.mark.usefixtures("any_machine")
def test_a_lost_pod_leaves_no_process(tmp_path: Path) -> None:
    pod = make_pod(tmp_path, shell("one", WAITS))
    pod.start()
    wait_until((pod.workspace / "one-runs").exists, "the start")
    pod.lose()
    assert pod.containers["one"].wait() == 137
    assert not (pod.workspace / "one").exists()
