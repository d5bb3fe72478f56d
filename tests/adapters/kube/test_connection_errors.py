"""Requests without a response: temporary failures, and failures that the user must fix."""

import contextlib
import socket
import threading

import pytest
import requests
import urllib3

from reconcile.adapters.kube.connect import ConnectOptions, connect
from reconcile.adapters.kube.transport import ConnectTimeouts
from reconcile.core.errors import ClusterError, UnavailableError
from reconcile.core.model import Kind
from tests.adapters.kube.fakes import URL, FakeServer, talking_to
from tests.adapters.kube.kubeconfigs import written
from tests.controlplane import ports

CONFIG_MAP = Kind("v1", "ConfigMap")


def error_of(cluster):
    with pytest.raises(ClusterError) as caught:
        cluster.get(CONFIG_MAP, "team-a", "one")
    return caught.value


@pytest.mark.parametrize(
    "exception",
    [
        requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted", OSError("reset"))),
        requests.ConnectTimeout("slow"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("broken"),
        requests.exceptions.ContentDecodingError("no gzip"),
        requests.exceptions.ProxyError("refused"),
        requests.exceptions.SSLError("EOF occurred in violation of protocol"),
        urllib3.exceptions.ProtocolError("broken"),
        urllib3.exceptions.DecodeError("broken"),
    ],
)
def test_a_broken_exchange_is_retried(exception):
    error = error_of(talking_to(FakeServer(exception)))
    assert (type(error), error.retry_after) == (UnavailableError, 0.0)
    assert str(error).startswith(f"get ConfigMap team-a/one: {URL}: ")


@pytest.mark.parametrize(
    "exception",
    [
        requests.exceptions.InvalidURL("no host"),
        requests.exceptions.InvalidSchema("Missing dependencies for SOCKS support."),
        requests.exceptions.InvalidHeader("no header"),
        requests.RequestException(),
    ],
)
def test_what_cannot_be_sent_does_not_pass(exception):
    error = error_of(talking_to(FakeServer(exception)))
    assert type(error) is ClusterError
    assert "the request failed" in str(error)


def test_the_innermost_reason_is_said_and_masked():
    inner = OSError("secret reset")
    exception = requests.ConnectionError(urllib3.exceptions.ProtocolError("aborted", inner))
    error = error_of(
        talking_to(FakeServer(exception), mask=lambda text: text.replace("secret", "***"))
    )
    assert str(error).endswith("no complete response: *** reset")


def test_reasons_that_go_round_in_a_circle_end():
    one, other = requests.ConnectionError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert type(error_of(talking_to(FakeServer(one)))) is UnavailableError


@contextlib.contextmanager
def listening(answer):
    """A server on a plain socket that sends these bytes to every client; None to send nothing."""
    [port] = ports.free(1)
    done = threading.Event()
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(0.1)

        def serve():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(65536)
                        if answer is None:
                            done.wait()
                        else:
                            connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            done.set()
            thread.join()


def cluster_at(tmp_path, url, **options):
    return connect(
        str(written(tmp_path / "config", {"server": url})), None, ConnectOptions(**options)
    )


def test_a_closed_port(tmp_path):
    [port] = ports.free(1)
    error = error_of(cluster_at(tmp_path, f"http://127.0.0.1:{port}"))
    assert type(error) is UnavailableError
    assert f"http://127.0.0.1:{port}: " in str(error)
    assert "Connection refused" in str(error)


def test_silence_is_given_up_after_the_limit(tmp_path):
    with listening(None) as port:
        limits = ConnectTimeouts(connect=1.0, read=0.05)
        error = error_of(cluster_at(tmp_path, f"http://127.0.0.1:{port}", timeouts=limits))
    assert type(error) is UnavailableError
    assert "no response in time" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
    ids=["hang up", "no HTTP", "short", "half a chunk", "no gzip"],
)
def test_an_answer_that_breaks_off_may_pass(tmp_path, answer):
    with listening(answer) as port:
        error = error_of(cluster_at(tmp_path, f"http://127.0.0.1:{port}"))
    assert type(error) is UnavailableError


def test_a_server_without_tls_is_named_as_such(tmp_path):
    with listening(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        error = error_of(cluster_at(tmp_path, f"https://127.0.0.1:{port}"))
    assert type(error) is ClusterError
    assert "not an HTTPS server" in str(error)
