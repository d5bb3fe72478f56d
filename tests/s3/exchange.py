"""One connection of the proxy: relays requests one by one and injects their faults."""

import contextlib
import socket
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.s3.faults import PASS, Answer, Cut, Fault, Flip, Hang, Meanwhile, Slow, Strip, When
from tests.s3.http import EndError, Head, Stream

if TYPE_CHECKING:
    from tests.s3.front import Front


class CutError(Exception):
    """The fault of a request closes the connection here."""


def converse(front: "Front", client: socket.socket) -> None:
    """Serve a client until the connection is closed from either side, by a fault, or at the end."""
    with contextlib.suppress(OSError, EndError, CutError), front.connected() as server:
        link = Link(front, Stream(client), Stream(server))
        while True:
            link.exchange()


class BodyRefusedError(Exception):
    """The server does not read the rest of the body."""


class Link:
    """A client's connection and the connection to the server that belongs to it."""

    def __init__(self, front: "Front", client: Stream, server: Stream) -> None:
        self._front = front
        self._client = client
        self._server = server

    def exchange(self) -> None:
        """Relay one request and its response."""
        head = self._client.head()
        method, path, _ = head.first.split(" ", 2)
        fault = self._front.next_fault(method, path)
        match fault:
            case Answer():
                self._answer(head, fault)
            case Cut(When.BEFORE):
                raise CutError
            case Strip(prefix):
                self._relay(head.without(prefix), method, PASS)
            case Meanwhile(When.BEFORE, action):
                action()
                self._relay(head, method, PASS)
            case _:
                self._relay(head, method, fault)

    def _answer(self, head: Head, fault: Answer) -> None:
        # A client that sent `Expect` takes this response instead and sends no body.
        if not head.header("Expect"):
            self._client.pass_body(head, _discard)
        code = escape(fault.code)
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>front</Message></Error>"
        retry_after = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
        self._client.end.sendall(
            f"HTTP/1.1 {fault.status} Front\r\nContent-Type: application/xml\r\n{retry_after}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def _relay(self, head: Head, method: str, fault: Fault) -> None:
        self._server.end.sendall(head.encoded())
        answer = self._server.head() if head.header("Expect") else None
        if answer is not None and answer.status == 100:
            self._client.end.sendall(answer.encoded())
            answer = None
        if answer is None:
            # A server may refuse a request before it has read the body, and close the connection.
            with contextlib.suppress(BodyRefusedError):
                self._upload(head, fault)
            answer = self._server.head()
        self._download(answer, method, fault)

    def _upload(self, head: Head, fault: Fault) -> None:
        left = head.size

        def emit(piece: memoryview) -> None:
            nonlocal left
            left -= len(piece)
            self._front.count(sent=len(piece))
            if fault == Flip(request=True) and left == 0:
                piece = _flipped(piece)
            if fault == Cut(When.BODY):
                raise CutError
            try:
                self._server.end.sendall(piece)
            except ConnectionError as error:
                raise BodyRefusedError from error

        self._client.pass_body(head, emit)

    def _download(self, head: Head, method: str, fault: Fault) -> None:
        match fault:
            case Cut(When.AFTER):
                raise CutError
            case Hang():
                self._front.ended.wait()
                raise CutError
            case Meanwhile(When.AFTER, action):
                action()
            case _:
                pass
        self._client.end.sendall(head.encoded())
        if method != "HEAD" and head.status not in {204, 304}:
            self._body(head, fault)

    def _body(self, head: Head, fault: Fault) -> None:
        left = head.size

        def emit(piece: memoryview) -> None:
            nonlocal left
            left -= len(piece)
            self._front.count(got=len(piece))
            match fault:
                case Flip(False) if left == 0:
                    piece = _flipped(piece)
                case Cut(When.ANSWER):
                    self._client.end.sendall(piece[: len(piece) // 2])
                    raise CutError
                case Slow(seconds):
                    self._front.ended.wait(seconds)
                case _:
                    pass
            self._client.end.sendall(piece)

        self._server.pass_body(head, emit)


def _discard(_piece: memoryview) -> None:
    return


def _flipped(piece: memoryview) -> memoryview:
    return memoryview(bytes(piece[:-1]) + bytes([piece[-1] ^ 1]))
