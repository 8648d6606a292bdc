"""HTTP/1.1 spoken by hand over TLS: what no well-bred client lets one send."""

import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from support.servers import Server


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error_code(self) -> str:
        code: str = self.document["errors"][0]["code"]
        return code


class Connection:
    """One connection; requests go out as they are given."""

    def __init__(self, server: Server, *, seconds: float = 60, host: str = "127.0.0.1") -> None:
        context = ssl.create_default_context(cafile=str(server.authority))
        plain = socket.create_connection((host, server.port), timeout=seconds)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self._host = server.host
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send_head(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> None:
        """The request line and headers go out; the body is the caller's."""
        lines = [f"{method} {target} HTTP/1.1"]
        given = {"Host": self._host, **(headers or {})}
        lines += [f"{name}: {value}" for name, value in given.items()]
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """The answer to one request. Absolute locations of this server are taken too."""
        self.send_head(method, target.removeprefix(f"https://{self._host}"), headers)
        if body:
            self.socket.sendall(body)
        return self.read(head=method == "HEAD")

    def read_head(self) -> Answer:
        """The next answer's status and headers, its body left unread."""
        while b"\r\n\r\n" not in self._read:
            self._fill()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return self.read_head() if status == 100 else Answer(status, headers, b"")

    def read(self, *, head: bool = False) -> Answer:
        """The next answer, whole."""
        begun = self.read_head()
        if head or begun.status in {204, 304}:
            return begun
        return Answer(begun.status, begun.headers, self._body(begun.headers))

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        return self._exactly(int(headers["content-length"]))

    def _line(self) -> bytes:
        while b"\r\n" not in self._read:
            self._fill()
        line, _, self._read = self._read.partition(b"\r\n")
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._fill()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _fill(self) -> None:
        data = self.socket.recv(262144)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._read += data
