"""One HTTP/1.1 keep-alive connection: plain sockets, so that exactly what was sent and what came back is known."""
from __future__ import annotations

import json
import socket
from dataclasses import dataclass


class Broken(Exception):
    """The connection ended before the whole answer was there: nothing is known about what was sent."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


class Connection:
    def __init__(self, port: int, timeout: float = 30.0):
        self.port, self.timeout = port, timeout
        self._socket: socket.socket | None = None
        self._buffer = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._buffer = None, b""

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.exchange("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""), method == "HEAD")

    def exchange(self, data: bytes, head: bool = False) -> Answer:
        """Sends bytes as they are and reads one answer."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), self.timeout)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self._socket.sendall(data)
            except OSError:
                pass  # the server may refuse before it has read everything: its answer is still to be read
            return self.read_answer(head)
        except (OSError, Broken) as error:
            self.close()
            raise Broken(str(error)) from error

    def read_answer(self, head: bool = False) -> Answer:
        while True:
            top = self._until(b"\r\n\r\n").split(b"\r\n")
            status = int(top[0].split(b" ", 2)[1])
            if status != 100:
                break
        headers = {}
        for line in top[1:]:
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
        if head or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                body += self._exactly(size)
                self._exactly(2)
            self._until(b"\r\n")
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body = self._rest()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, body)

    def _more(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(1 << 16)
        if not data:
            raise Broken("the server closed the connection")
        return data

    def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._buffer += self._more()
        found, self._buffer = self._buffer[:at], self._buffer[at + len(end):]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._more()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _rest(self) -> bytes:
        try:
            while True:
                self._buffer += self._more()
        except Broken:
            found, self._buffer = self._buffer, b""
            return found
