"""Each kind of fault affects the chosen request and no other."""

import json
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.controlplane import waiting
from tests.controlplane.errors import ControlPlaneError
from tests.controlplane.faults import Answer, Drop, Fault, Front, Hang, When, faulty, on_request
from tests.controlplane.server import ControlPlane, running

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with running(tmp_path_factory.mktemp("faults"), controller_manager=False) as plane:
        yield plane


@pytest.fixture
def collection(plane: ControlPlane) -> str:
    return f"/api/v1/namespaces/{plane.fresh_namespace('faults')}/configmaps"


def _send(
    front: Front, method: str, path: str, body: object = None, **options: Any
) -> requests.Response:
    headers = {"Authorization": f"Bearer {front.plane.tokens['admin']}"}
    data = None if body is None else json.dumps(body)
    return front.plane.session.request(
        method, front.url + path, data=data, headers=headers, **options
    )


def _config_map(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


def _names(plane: ControlPlane, collection: str) -> set[str]:
    items = plane.request("GET", collection).json()["items"]
    return {item["metadata"]["name"] for item in items} - {"kube-root-ca.crt"}


def _nothing_fails(_number: int, _method: str, _path: str) -> None:
    return None


def test_without_a_fault_everything_passes_and_is_counted(
    plane: ControlPlane, collection: str
) -> None:
    with faulty(plane, _nothing_fails) as front:
        assert _send(front, "POST", collection, _config_map("one")).status_code == 201
        direct = plane.request("GET", f"{collection}/one").json()
        assert _send(front, "GET", f"{collection}/one").json() == direct
    assert [(request.number, request.method, request.path) for request in front.received] == [
        (1, "POST", collection),
        (2, "GET", f"{collection}/one"),
    ]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_an_answer_comes_in_the_servers_place_for_one_request_only(
    plane: ControlPlane, collection: str, code: int
) -> None:
    with faulty(plane, on_request(1, Answer(code, retry_after_s=7))) as front:
        refused = _send(front, "POST", collection, _config_map("one"))
        assert (refused.status_code, refused.json()["code"]) == (code, code)
        assert refused.headers["Retry-After"] == "7"
        assert _names(plane, collection) == set()
        assert _send(front, "POST", collection, _config_map("one")).status_code == 201


def test_an_answer_without_a_time_has_no_retry_after(plane: ControlPlane, collection: str) -> None:
    with faulty(plane, on_request(1, Answer(500))) as front:
        assert "Retry-After" not in _send(front, "GET", collection).headers


@pytest.mark.parametrize(("when", "made"), [(When.BEFORE, set()), (When.AFTER, {"one"})])
def test_a_dropped_connection_loses_the_request_or_the_answer(
    plane: ControlPlane, collection: str, when: When, made: set[str]
) -> None:
    with faulty(plane, on_request(2, Drop(when))) as front:
        assert _send(front, "GET", collection).status_code == 200
        with pytest.raises(requests.ConnectionError):
            _send(front, "POST", collection, _config_map("one"))
        assert _names(plane, collection) == made
        assert _send(front, "GET", collection).status_code == 200
    assert len(front.received) == 3


@pytest.mark.parametrize(("when", "made"), [(When.BEFORE, set()), (When.AFTER, {"one"})])
def test_a_hanging_request_times_out_before_or_after_the_work(
    plane: ControlPlane, collection: str, when: When, made: set[str]
) -> None:
    with faulty(plane, on_request(1, Hang(when))) as front:
        with pytest.raises(requests.ReadTimeout):
            _send(front, "POST", collection, _config_map("one"), timeout=1)
        assert _names(plane, collection) == made
        assert _send(front, "GET", collection).status_code == 200


def test_a_hanging_request_ends_with_the_front(plane: ControlPlane, collection: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        with faulty(plane, on_request(1, Hang(When.BEFORE))) as front:
            answer = pool.submit(_send, front, "GET", collection)
            waiting.until("the request", lambda: len(front.received) == 1)
        assert isinstance(answer.exception(), requests.ConnectionError)


def test_a_connection_serves_several_requests(plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=plane.ca_file)
    with (
        faulty(plane, on_request(2, Answer(503))) as front,
        closing(HTTPSConnection(urlsplit(front.url).netloc, context=context)) as connection,
    ):
        connection.connect()
        first = connection.sock
        assert [_get_version(connection) for _ in range(3)] == [200, 503, 200]
        assert connection.sock is first


def _get_version(connection: HTTPSConnection) -> int:
    connection.request("GET", "/version")
    answer = connection.getresponse()
    answer.read()
    return answer.status


FAULTS = {
    "overload": Answer(429),
    "server error": Answer(500),
    "request lost": Drop(When.BEFORE),
    "response lost": Drop(When.AFTER),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_handle_repeats_what_a_busy_server_did_not_answer(
    plane: ControlPlane, collection: str, fault: Fault
) -> None:
    with faulty(plane, on_request(1, fault)) as front:
        through = replace(plane, url=front.url)
        assert through.create(collection, _config_map("one"))["metadata"]["name"] == "one"
        assert _names(plane, collection) == {"one"}
        with pytest.raises(ControlPlaneError, match=r'409 .*\\"one\\" already exists'):
            through.create(collection, _config_map("one"))


def test_a_watch_passes_piece_by_piece(plane: ControlPlane, collection: str) -> None:
    with (
        faulty(plane, _nothing_fails) as front,
        _send(front, "GET", f"{collection}?watch=1", stream=True) as watch,
    ):
        assert watch.headers["Transfer-Encoding"] == "chunked"
        plane.request("POST", collection, _config_map("seen"))
        names = (json.loads(line)["object"]["metadata"]["name"] for line in watch.iter_lines())
        assert "seen" in names


def test_an_idle_watch_ends_with_the_front(plane: ControlPlane, collection: str) -> None:
    with faulty(plane, _nothing_fails) as front:
        watch = _send(
            front, "GET", f"{collection}?watch=1&fieldSelector=metadata.name=no", stream=True
        )
    with watch, pytest.raises(requests.exceptions.ChunkedEncodingError):
        watch.content  # noqa: B018 - reading it must fail


def test_kubectl_works_through_it_with_any_users_rights(plane: ControlPlane) -> None:
    with faulty(plane, _nothing_fails) as front:
        assert "default" in plane.kubectl(f"--kubeconfig={front.kubeconfig('admin')}", "get", "ns")
        with pytest.raises(ControlPlaneError, match="Forbidden"):
            plane.kubectl(f"--kubeconfig={front.kubeconfig('stranger')}", "get", "ns")


def test_a_plan_that_fails_is_not_taken_for_a_fault(plane: ControlPlane) -> None:
    def broken(_number: int, _method: str, _path: str) -> None:
        raise LookupError("no plan")

    with (
        pytest.raises(ExceptionGroup) as caught,
        faulty(plane, broken) as front,
        pytest.raises(requests.ConnectionError),
    ):
        _send(front, "GET", "/version")
    assert caught.group_contains(LookupError, match="no plan")
