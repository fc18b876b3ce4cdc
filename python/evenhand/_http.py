"""HTTP over the standard library: requests, each on a connection of its own, and one open stream beside them."""

import contextlib
import http.client
import os
import re
import socket
import ssl
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Beyond it an answer is not read on: the greatest manifest has 64 MiB.
MAX_ANSWER_BYTES = 80 << 20
ENDED = "the client has ended the request"


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Interrupted(Exception):
    """The request was ended by another thread of ours."""


class Server:
    """Where requests go. Threads may ask at once."""

    def __init__(self, url: str, key: str, user_agent: str, timeout: float) -> None:
        wrong = f"`url` is {url!r}: give the server's address, such as https://flags.example.com"
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(wrong)
        try:
            self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"{wrong} ({error})") from error
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError("`key` must be the environment's server or client key, printable ASCII without blanks")
        if not timeout > 0:
            raise ValueError(f"`timeout` is {timeout!r}: give the seconds that a request may take, more than 0")
        self.path = parts.path.rstrip("/")
        self.key = key
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": user_agent, "Accept-Encoding": "gzip"}
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None
        self._kept: list[http.client.HTTPConnection] = []
        self._busy: dict[threading.Thread, http.client.HTTPConnection] = {}
        self._closed = False

    def connection(self, timeout: float) -> http.client.HTTPConnection:
        if self._scheme == "http":
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)

    def with_credentials(self, headers: Mapping[str, str | None]) -> dict[str, str]:
        """The headers every request has, and these."""
        return {**self._headers, **{name: value for name, value in headers.items() if value is not None}}

    def ask(self, method: str, path: str, headers: Mapping[str, str | None], body: bytes | None = None) -> Answer:
        """One request, on a connection that is kept if one is. Raises `OSError` or `http.client.HTTPException`, seldom others."""
        sent = self.with_credentials(headers)
        try:
            kept = self._kept.pop()
        except IndexError:
            kept = None
        if kept is not None:
            # The server may have closed it, idle. Events carry their ids, so a second try can't count twice.
            with contextlib.suppress(http.client.RemoteDisconnected, ConnectionError):
                return self._exchange(kept, method, path, sent, body)
        return self._exchange(self.connection(self._timeout), method, path, sent, body)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        me = threading.current_thread()
        self._busy[me] = connection
        until = time.monotonic() + self._timeout
        try:
            if connection.sock is None:
                connection.connect()
            if self._closed:
                raise Interrupted(ENDED)
            connection.request(method, self.path + path, body=body, headers=dict(headers))
            response = connection.getresponse()
            answer = _unpacked(response, _whole(response, until))
        except BaseException as error:
            connection.close()
            if self._busy.pop(me, None) is None:
                raise Interrupted(ENDED) from error
            raise
        if self._busy.pop(me, None) is None or response.will_close or self._closed:
            connection.close()
        else:
            self._kept.append(connection)
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)

    def interrupt(self, thread: threading.Thread) -> None:
        """Ends what a thread asks just now, if it has a connection already."""
        connection = self._busy.get(thread)
        sock = None if connection is None else connection.sock
        if sock is not None and self._busy.pop(thread, None) is not None:
            _shut(sock)

    def close(self) -> None:
        """Ends what is asked just now, and the connections that are kept."""
        self._closed = True
        for thread in list(self._busy):
            self.interrupt(thread)
        while self._kept:
            self._kept.pop().close()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's. Only the child's descriptors of them go."""
        for connection in (*self._kept, *self._busy.values()):
            _let_go(connection)
        self._kept, self._busy, self._closed = [], {}, False


def _whole(response: http.client.HTTPResponse, until: float) -> bytes:
    """The body, within the time of the request: a server that sends byte by byte does not hold its thread."""
    # Counted here: before 3.12, `read1` does not know where a body of a stated length ends.
    rest = response.length
    if rest is not None and rest > MAX_ANSWER_BYTES:
        raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
    pieces: list[bytes] = []
    size = 0
    while rest is None or size < rest:
        piece = response.read1(1 << 20 if rest is None else min(1 << 20, rest - size))
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if time.monotonic() > until:
            raise TimeoutError("the answer took too long")
    if rest is not None and size < rest:
        raise http.client.IncompleteRead(b"".join(pieces), rest - size)
    response.close()
    return b"".join(pieces)


def _unpacked(response: http.client.HTTPResponse, body: bytes) -> bytes:
    if response.getheader("content-encoding", "").lower() != "gzip":
        return body
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, MAX_ANSWER_BYTES)
    except zlib.error as error:
        raise http.client.HTTPException(f"the answer can't be unpacked: {error}") from error
    if not stream.eof:
        raise http.client.HTTPException(f"a packed answer that is cut off, or of more than {MAX_ANSWER_BYTES} bytes")
    return plain


def _shut(sock: socket.socket) -> None:
    """Whoever waits for it on another thread gets an error."""
    # It may have ended by itself.
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _let_go(connection: http.client.HTTPConnection | None) -> None:
    """Closes this process's descriptor without a word to the server."""
    sock = None if connection is None else connection.sock
    if sock is not None and (descriptor := sock.detach()) >= 0:
        os.close(descriptor)


class Stream:
    """One open stream of announcements, on a thread of its own."""

    def __init__(self, server: Server, idle_timeout: float) -> None:
        self._server = server
        self._connection = server.connection(idle_timeout)
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self,
        path: str,
        headers: Mapping[str, str | None],
        on_answer: Callable[[int, str | None], None],
        on_bytes: Callable[[bytes], None],
    ) -> None:
        """Opens it and hands on what comes, until it ends. Raises `OSError` or `http.client.HTTPException`, seldom others."""
        try:
            sent = self._server.with_credentials(headers) | {"Accept-Encoding": "identity"}
            self._connection.connect()
            with self._lock:
                if self._closed:
                    return
            self._connection.request("GET", self._server.path + path, headers=sent)
            response = self._connection.getresponse()
            on_answer(response.status, response.getheader("retry-after"))
            if response.status != 200:
                return
            while chunk := response.read1(65_536):
                on_bytes(chunk)
        finally:
            self._connection.close()

    def close(self) -> None:
        """Ends it from another thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            sock: socket.socket | None = self._connection.sock
        if sock is not None:
            _shut(sock)

    def forget(self) -> None:
        """In a forked child: the stream is the parent's."""
        _let_go(self._connection)
