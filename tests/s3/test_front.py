"""The proxy relays requests unchanged, except for the faults of its plan."""

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from reconcile.mirror.store.config import StoreLocation
from reconcile.mirror.store.s3 import S3Store
from tests.controlplane import ports
from tests.s3 import buckets, front, recorder
from tests.s3.access import S3Server
from tests.s3.recorder import PreparedResponse, Recorder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def behind() -> Iterator[Recorder]:
    with recorder.running() as running:
        yield running


def test_many_clients_are_served_concurrently(moto_server: S3Server) -> None:
    bucket = buckets.fresh(moto_server)
    with front.running(moto_server) as before, ThreadPoolExecutor(8) as pool:
        store = S3Store(before.server.location(bucket), moto_server.credentials)
        bodies = [os.urandom(1 + 40_000 * number) for number in range(16)]

        def there_and_back(body: bytes) -> bytes:
            digest = hashlib.sha256(body).hexdigest()
            store.put(digest, [body], digest)
            return store.get(digest).body

        assert list(pool.map(there_and_back, bodies)) == bodies
        assert len(before.received) == 32
        assert before.sent_bytes == before.got_bytes == sum(map(len, bodies))
        before.reset()
        assert (before.received, before.sent_bytes, before.got_bytes) == ([], 0, 0)


def test_a_chunked_body_is_relayed(behind: Recorder, moto_server: S3Server) -> None:
    server = S3Server(behind.url, moto_server.keys, checks_keys=False)
    behind.answer = lambda _: PreparedResponse(body=b"done")
    script = (
        "import http.client, sys; c = http.client.HTTPConnection(sys.argv[1]);"
        "c.request('POST', '/x', body=iter([b'ab', b'cd']), encode_chunked=True,"
        " headers={'Transfer-Encoding': 'chunked'}); print(c.getresponse().read())"
    )
    with front.running(server) as before:
        address = before.server.url.removeprefix("http://")
        command = [sys.executable, "-c", script, address]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "b'done'\n"
    [received] = behind.received
    assert (received.headers["transfer-encoding"], received.body) == ("chunked", b"abcd")


def test_a_client_that_closes_in_a_body_closes_its_connection_to_the_server(
    moto_server: S3Server,
) -> None:
    with socket.create_server(("127.0.0.1", ports.free(1)[0])) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with front.running(S3Server(url, moto_server.keys, checks_keys=False)) as before:
            address = urlsplit(before.server.url)
            with socket.create_connection((address.hostname, address.port)) as client:
                client.sendall(b"PUT /x HTTP/1.1\r\nContent-Length: 100\r\n\r\nsome")
                server, _ = listener.accept()
                with server:
                    received = b""
                    while not received.endswith(b"some"):
                        received += server.recv(1000)
                    client.close()
                    assert server.recv(1000) == b""


def test_it_runs_as_a_program_and_prints_its_counts(moto_server: S3Server) -> None:
    bucket = buckets.fresh(moto_server)
    command = [sys.executable, "-m", "tests.s3", "front", "--to", moto_server.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as alone:
        assert alone.stdout is not None
        url = alone.stdout.readline().strip()
        store = S3Store(StoreLocation(url, bucket), moto_server.credentials)
        store.put("key", [b"12345"], hashlib.sha256(b"12345").hexdigest())
        store.close()
        alone.terminate()
        said = json.loads(alone.stdout.read())
    assert said == {"requests": 1, "sent": 5, "got": 0}


@pytest.mark.s3
def test_a_real_server_ends_with_the_process_that_started_it() -> None:
    command = [sys.executable, "-m", "tests.s3", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        said = [owner.stdout.readline() for _ in range(3)]
        assert [line.split("=")[0] for line in said] == [
            "export S3_ENDPOINT",
            "export S3_ACCESS_KEY",
            "export S3_SECRET_KEY",
        ]
        owner.terminate()
        assert owner.wait() == 0
