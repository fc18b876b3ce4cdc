"""HTTP over the standard library: one request at a time for the loop, one open stream beside it."""

import http.client
import socket
import ssl
import threading
import urllib.parse
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Beyond it an answer is not read on: the greatest manifest has 64 MiB.
MAX_ANSWER_BYTES = 80 << 20


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Server:
    """Where requests go."""

    def __init__(self, url: str, key: str, user_agent: str, timeout: float) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"the server's address is http://HOST or https://HOST, with a port and a path if need be, not {url!r}")
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, parts.port
        self.path = parts.path.rstrip("/")
        self.key = key
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": user_agent, "Accept-Encoding": "gzip"}
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None
        self._kept: http.client.HTTPConnection | None = None

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
        """One request, on the connection that is kept. Raises `OSError` or `http.client.HTTPException`."""
        sent = self.with_credentials(headers)
        kept, self._kept = self._kept, None
        if kept is not None:
            try:
                return self._exchange(kept, method, path, sent, body)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server had closed the idle connection. Events carry their ids, so a second try can't count twice.
                kept.close()
        return self._exchange(self.connection(self._timeout), method, path, sent, body)

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        try:
            connection.request(method, self.path + path, body=body, headers=dict(headers))
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES + 1)
        except BaseException:
            connection.close()
            raise
        if response.getheader("content-encoding", "").lower() == "gzip":
            try:
                answer = zlib.decompressobj(wbits=31).decompress(answer, MAX_ANSWER_BYTES + 1)
            except zlib.error as error:
                connection.close()
                raise http.client.HTTPException(f"the answer can't be unpacked: {error}") from error
        if len(answer) > MAX_ANSWER_BYTES:
            connection.close()
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        if response.will_close:
            connection.close()
        else:
            self._kept = connection
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)

    def forget(self) -> None:
        """Drops the kept connection without closing it for whoever else has it (a parent process)."""
        self._kept = None


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
        """Opens it and hands on what comes, until it ends. Raises `OSError` or `http.client.HTTPException`."""
        try:
            sent = self._server.with_credentials(headers) | {"Accept-Encoding": "identity"}
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
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It has ended by itself.
                pass
