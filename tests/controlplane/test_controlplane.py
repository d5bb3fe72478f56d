"""The control plane is real, its audit log is complete, and nothing of it remains after its end."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.controlplane import waiting
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.server import ControlPlane, running

pytestmark = pytest.mark.cluster
APPLY = "application/apply-patch+yaml"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with running(tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture
def controlled(plane: ControlPlane) -> ControlPlane:
    """The control plane, if it has a controller manager."""
    if not plane.has_controller_manager:
        pytest.skip("KUBEBUILDER_ASSETS has no kube-controller-manager")
    return plane


@pytest.fixture
def namespace(plane: ControlPlane) -> str:
    return plane.fresh_namespace("plane")


def _config_map(name: str, **metadata: object) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": {"size": "x" * 8192},
    }


def _collection(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def _apply(plane: ControlPlane, path: str, manager: str, value: str) -> requests.Response:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": path.rsplit("/", 1)[-1]},
        "data": {"key": value},
    }
    parameters = {"fieldManager": manager}
    return plane.request("PATCH", path, body, content_type=APPLY, params=parameters)


def _processes_of(state: Path) -> list[str]:
    found = []
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if str(state).encode() in cmdline.read_bytes():
                found.append(cmdline.parent.name)
    return found


def test_it_is_ready_and_speaks_its_version(plane: ControlPlane) -> None:
    assert plane.request("GET", "/readyz").text == "ok"
    assert plane.version >= (1, 20)
    assert '"serverVersion"' in plane.kubectl("version", "-o", "json")


def test_server_side_apply_tracks_managers_and_refuses_conflicts(
    plane: ControlPlane, namespace: str
) -> None:
    path = f"{_collection(namespace)}/shared"
    first = _apply(plane, path, "one", "a")
    assert first.status_code == 201
    [entry] = first.json()["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:key": {}}}
    assert _apply(plane, path, "two", "b").status_code == 409


def test_the_audit_log_has_each_request_once_in_order(plane: ControlPlane, namespace: str) -> None:
    log, path = plane.audit(), _collection(namespace)
    mark = log.mark()
    plane.request("POST", path, _config_map("big"))
    plane.request("GET", path, params={"limit": 5})
    plane.request("GET", f"{path}/absent")
    plane.request("DELETE", f"{path}/big")
    events = log.since(mark, user="admin")
    assert [(event.verb, event.name, event.code) for event in events] == [
        ("create", "big", 201),
        ("list", "", 200),
        ("get", "absent", 404),
        ("delete", "big", 200),
    ]
    assert {(event.resource, event.namespace) for event in events} == {("configmaps", namespace)}
    assert events[1].path == f"{path}?limit=5"
    assert log.since(log.mark(), user="admin") == []


def test_the_audit_log_counts_parallel_requests_with_large_answers_exactly(
    plane: ControlPlane, namespace: str
) -> None:
    path = _collection(namespace)
    present = len(plane.request("GET", path).json()["items"])
    for number in range(20):
        plane.request("POST", path, _config_map(f"big-{number}"))
    mark = plane.audit().mark()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: plane.request("GET", path), range(100)))
    events = plane.audit().since(mark, user="admin")
    assert {len(answer.json()["items"]) for answer in answers} == {20 + present}
    assert [event.verb for event in events] == ["list"] * 100


def test_the_audit_log_has_a_watch_when_it_begins(plane: ControlPlane, namespace: str) -> None:
    mark = plane.audit().mark()
    url, token = plane.url + _collection(namespace), plane.tokens["admin"]
    headers = {"Authorization": f"Bearer {token}"}
    with plane.session.get(url, params={"watch": "1"}, headers=headers, stream=True) as answer:
        assert answer.status_code == 200
        [event] = plane.audit().since(mark, user="admin")
    assert (event.verb, event.resource, event.namespace) == ("watch", "configmaps", namespace)


def test_the_audit_log_has_requests_that_nobody_signed(plane: ControlPlane) -> None:
    mark = plane.audit().mark()
    headers = {"Authorization": "Bearer wrong", "User-Agent": "nobody/1"}
    assert plane.session.get(f"{plane.url}/api/v1/pods", headers=headers).status_code == 401
    codes = [event.code for event in plane.audit().since(mark) if event.user_agent == "nobody/1"]
    assert codes == [401]


def test_a_stranger_may_do_nothing(plane: ControlPlane, namespace: str) -> None:
    assert plane.request("GET", _collection(namespace), user="stranger").status_code == 403
    with pytest.raises(ControlPlaneError, match=r'User "stranger" cannot list .*configmaps'):
        plane.kubectl("get", "configmaps", "-n", namespace, user="stranger")


def test_kubectl_takes_its_input_from_the_caller(plane: ControlPlane, namespace: str) -> None:
    manifest = json.dumps(_config_map("piped"))
    shown = plane.kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    assert shown == "configmap/piped created\n"


def test_a_service_account_acts_with_its_own_name_and_rights(
    plane: ControlPlane, namespace: str
) -> None:
    plane.kubectl("create", "serviceaccount", "worker", "-n", namespace)
    option = f"--kubeconfig={plane.service_account_kubeconfig(namespace, 'worker')}"
    mark = plane.audit().mark()
    with pytest.raises(ControlPlaneError, match="Forbidden"):
        plane.kubectl(option, "get", "secrets", "-n", namespace)
    user = f"system:serviceaccount:{namespace}:worker"
    assert [event.code for event in plane.audit().since(mark, user=user)] == [403]


def test_a_fresh_namespace_takes_pods_at_once(plane: ControlPlane, namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "idle"},
        "spec": {"containers": [{"name": "main", "image": "example.invalid/idle"}]},
    }
    assert plane.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod).status_code == 201


def test_what_an_object_owns_goes_with_it(controlled: ControlPlane, namespace: str) -> None:
    path = _collection(namespace)
    owner = controlled.request("POST", path, _config_map("owner")).json()["metadata"]
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["uid"],
    }
    owned = _config_map("owned", ownerReferences=[reference])
    assert controlled.request("POST", path, owned).status_code == 201
    controlled.request("DELETE", f"{path}/owner")
    gone = f"{path}/owned"
    waiting.until("garbage collection", lambda: controlled.request("GET", gone).status_code == 404)


def test_a_deleted_namespace_ends(controlled: ControlPlane, namespace: str) -> None:
    controlled.request("POST", _collection(namespace), _config_map("inside"))
    path = f"/api/v1/namespaces/{namespace}"
    controlled.request("DELETE", path)
    waiting.until("the end", lambda: controlled.request("GET", path).status_code == 404)


def test_another_handle_attaches_by_the_folder_alone(plane: ControlPlane) -> None:
    other = ControlPlane.attach(plane.state)
    assert other == plane
    assert other.request("GET", "/api/v1/namespaces/default").status_code == 200


def test_a_folder_in_use_is_refused(plane: ControlPlane) -> None:
    with (
        pytest.raises(ControlPlaneError, match="another control plane runs in"),
        running(plane.state),
    ):
        pass
    assert plane.request("GET", "/readyz").status_code == 200


def _use_it_bare_and_fail(state: Path) -> None:
    with running(state, controller_manager=False) as plane:
        assert not plane.has_controller_manager
        test_a_fresh_namespace_takes_pods_at_once(plane, plane.fresh_namespace("bare"))
        assert len(_processes_of(state)) == 2
        raise ZeroDivisionError


def test_it_runs_without_a_controller_manager_and_ends_with_a_failing_block(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with pytest.raises(ZeroDivisionError):
        _use_it_bare_and_fail(state)
    assert _processes_of(state) == []
    assert not (state / "controlplane.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_that_started_it(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "tests.controlplane", "run", f"--state={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        line = owner.stdout.readline()
        assert line == f"export KUBECONFIG={tmp_path}/kubeconfig-admin\n"
        owner.send_signal(number)
    waiting.until("the end of all processes", lambda: _processes_of(tmp_path) == [])
