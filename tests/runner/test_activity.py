import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import hypothesis.strategies as st
import pytest
from hypothesis import given

from reconcile.runner import activity
from reconcile.runner.activity import (
    Activity,
    ConnectionWatch,
    MirrorStatus,
    NoAnswer,
    NotAsked,
    Sample,
    fetch_mirror_status,
    parse_connections,
)
from tests.controlplane.ports import free
from tests.runner.loopback import serving

START = Activity(100.0, 100.0)
V4 = "0: 0100007F:1F41 0100007F:A001 01 00000000:00000000 00:00000000 00000000 1001 0 77 1 0 20"
V6 = (
    "1: 0000000000000000FFFF00000100007F:1F41 0000000000000000FFFF00000100007F:A002 01 "
    "00000000:00000000 00:00000000 00000000 1001 0 78 1 0 20"
)


@pytest.mark.parametrize(
    ("samples", "last"),
    [
        ([Sample(150, NotAsked())], 100),
        ([Sample(150, NotAsked(), is_connected=True)], 150),
        ([Sample(150, MirrorStatus(1, 20.0))], 130),
        ([Sample(150, MirrorStatus(1, 90.0))], 100),
        ([Sample(150, MirrorStatus(1, None))], 100),
        # A file's time is in the future.
        ([Sample(150, MirrorStatus(1, 0.0)), Sample(160, MirrorStatus(1, 0.0))], 100),
        # A clock was set back: the generation shows the write.
        ([Sample(150, MirrorStatus(1, 50.0)), Sample(160, MirrorStatus(2, 3660.0))], 160),
        # It does not answer: the time counts from its last answer.
        (
            [Sample(150, MirrorStatus(1, 50.0)), Sample(160, NoAnswer()), Sample(900, NoAnswer())],
            150,
        ),
        ([Sample(150, NoAnswer())], 100),
    ],
)
def test_the_last_use_is_the_last_write_or_connection(samples, last):
    activity = START
    for sample in samples:
        activity = activity.add(sample)
    assert activity.last == last


MIRRORS = st.one_of(
    st.just(NotAsked()),
    st.just(NoAnswer()),
    st.builds(MirrorStatus, st.integers(0, 3), st.none() | st.floats(0, 1e9, allow_nan=False)),
)


@given(st.lists(st.tuples(st.floats(0, 1000), MIRRORS, st.booleans()), max_size=20))
def test_the_last_use_never_goes_back_and_is_never_in_the_future(steps):
    activity, now = START, 100.0
    for seconds, mirror, is_connected in steps:
        now += seconds
        after = activity.add(Sample(now, mirror, is_connected))
        assert activity.last <= after.last <= now
        activity = after


@contextmanager
def mirror(body, status=200):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with serving(Handler) as url:
        yield int(url.rpartition(":")[2])


def fetch(host, port):
    return asyncio.run(fetch_mirror_status(host, port))


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b'{"generation": 3, "writeAgeSeconds": 1.5, "x": 1}', MirrorStatus(3, 1.5)),
        (b'{"generation": 3, "writeAgeSeconds": null}', MirrorStatus(3, None)),
        (b'{"generation": 3, "writeAgeSeconds": -5}', MirrorStatus(3, 0.0)),
        (b'{"generation": "3", "writeAgeSeconds": 1}', NoAnswer()),
        (b'{"generation": 3, "writeAgeSeconds": "1"}', NoAnswer()),
        (b"[]", NoAnswer()),
        (b"not json", NoAnswer()),
        (b"x" * 100_000, NoAnswer()),
    ],
)
def test_whatever_a_mirror_answers_is_a_status_or_no_answer(body, answer):
    with mirror(body) as port:
        assert fetch("127.0.0.1", port) == answer


def test_a_mirror_that_is_not_there_does_not_answer():
    assert fetch("127.0.0.1", free(1)[0]) == NoAnswer()
    with mirror(b'{"generation": 3, "writeAgeSeconds": 1}', 503) as port:
        assert fetch("127.0.0.1", port) == NoAnswer()


def test_an_answer_without_an_end_is_no_answer(monkeypatch):
    monkeypatch.setattr(activity, "_TIMEOUT", 0.2)

    async def do():
        async def trickle(_reader, writer):
            with contextlib.closing(writer), contextlib.suppress(OSError):
                while True:
                    writer.write(b"HTTP/1.1 200 OK\r\n")
                    await writer.drain()
                    await asyncio.sleep(0.01)

        async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await fetch_mirror_status("127.0.0.1", port)

    assert asyncio.run(do()) == NoAnswer()


def test_connections_of_both_families_look_the_same():
    lines = ["  sl  local_address rem_address   st", V4, V6, V4.replace(" 01 ", " 0A "), "", "x"]
    first, second = parse_connections(lines)
    assert (first.local, first.local_port, first.remote) == ("0100007F:1F41", 8001, "0100007F:A001")
    assert (second.local, second.socket) == ("0100007F:1F41", "78")


@contextmanager
def listening(family=socket.AF_INET):
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.create_server((address, 0), family=family) as server:
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]))
        thread.start()
        yield server.getsockname()[1]
        thread.join()
        for each in accepted:
            each.close()


CONNECT = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); print()"
)


def test_a_connection_of_another_process_counts_when_it_is_seen_twice():
    with listening() as port:
        watch = ConnectionWatch(port)
        assert not watch.is_connected()
        command = [sys.executable, "-uc", f"{CONNECT}; print(); sys.stdin.read()", str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            client.stdout.readline()
            assert not watch.is_connected()
            assert watch.is_connected()
            client.stdin.close()


def test_connections_of_this_process_do_not_count():
    with listening() as port, socket.create_connection(("127.0.0.1", port)):
        watch = ConnectionWatch(port)
        assert [watch.is_connected() for _ in range(3)] == [False, False, False]


def test_without_the_kernels_tables_nothing_is_connected(tmp_path):
    assert not ConnectionWatch(8001, tmp_path).is_connected()


def test_a_probe_is_not_use(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "fd").mkdir()
    table = tmp_path / "net" / "tcp"
    watch = ConnectionWatch(8001, tmp_path)
    seen = []
    for number in range(5):
        table.write_text(V4.replace("A001", f"A00{number}"))
        seen.append(watch.is_connected())
    assert seen == [False] * 5
    assert watch.is_connected()
