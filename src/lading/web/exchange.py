"""One request and its answer on the plain doors (`/v2`, `/auth`), without a framework's cost per request.

Behind nginx some facts come in headers that only nginx can set (`X-Lading-…`); without it they are ignored, since then
anyone could set them.
"""

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from lading.core.errors import InvalidError, TooLargeError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_QUERY_FIELDS = 128
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{8,64}")


class RequestCutError(InvalidError):
    """The client went away before its body was whole."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self) -> None:
        super().__init__("the client went away before its body was whole")


class Request:
    """What a door reads of a request. `behind_edge` tells whether the X-Lading headers are nginx's."""

    __slots__ = ("_headers", "_query", "_receive", "behind_edge", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive, *, behind_edge: bool) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.behind_edge = behind_edge
        self._receive = receive
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self._query: dict[str, list[str]] | None = None

    def header(self, name: bytes) -> str | None:
        """A header's value, by its lower-case name; None when it is absent."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def headers(self, name: bytes) -> list[str]:
        """All values of a header that came several times."""
        return [value.decode("latin-1") for key, value in self.scope["headers"] if key == name]

    def edge_header(self, name: bytes) -> str | None:
        """The value of a header that only nginx sets; None when it is absent, empty, or there is no nginx."""
        return (self.header(name) or None) if self.behind_edge else None

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The query's values by name, in order. Errors: InvalidError when it has too many."""
        if self._query is None:
            raw: bytes = self.scope["query_string"]
            self._query = parse_query(raw) if raw else {}
        return self._query

    def value(self, name: str) -> str | None:
        """The first value of a query parameter, None when it is absent."""
        values = self.query.get(name)
        return values[0] if values else None

    @property
    def request_id(self) -> str:
        """Nginx's id of the request, or a new one."""
        known = self._headers.get(b"x-request-id") if self.behind_edge else None
        if known is not None and _REQUEST_ID.fullmatch(known):
            return known.decode()
        made: str = self.scope.setdefault("lading.request_id", secrets.token_hex(16))
        return made

    @property
    def client(self) -> str:
        """The client's address."""
        known = self.edge_header(b"x-lading-client")
        if known is not None:
            return known
        peer = self.scope.get("client")
        return str(peer[0]) if peer else ""

    @property
    def host(self) -> str:
        """The Host header, lower case, with its port."""
        return (self.header(b"host") or "").lower()

    @property
    def length(self) -> int | None:
        """Content-Length; None when the body's length is not known beforehand. Errors: InvalidError."""
        value = self.header(b"content-length")
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 20):  # noqa: PLR2004 — 64 bits
            raise InvalidError("Content-Length is not a number")
        return int(value)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Errors: RequestCutError."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RequestCutError
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body", False):
                return

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Errors: TooLargeError beyond the limit, before more is read; RequestCutError."""
        length = self.length
        if length is not None and length > limit_bytes:
            raise TooLargeError(f"the body has {length} bytes, more than the {limit_bytes} allowed")
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit_bytes:
                raise TooLargeError(f"the body has more than the {limit_bytes} bytes allowed")
            parts.append(chunk)
        if length is not None and size < length:
            raise RequestCutError
        return b"".join(parts) if len(parts) != 1 else parts[0]


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """A query's, or a form's, values by name, in order. Errors: InvalidError when there are too many, or it is not UTF-8."""
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidError("the query has too many values, or is not UTF-8") from error
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return values


RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case) and a body in memory."""

    status: int
    headers: RawHeaders = field(default_factory=list)
    body: bytes = b""

    async def send(self, send: Send, *, head: bool = False) -> None:
        """The answer goes out; for HEAD without its body, whose length the headers tell."""
        headers = self.headers
        if self.status != 204 and not any(name == b"content-length" for name, _ in headers):  # noqa: PLR2004 — No Content
            headers = [*headers, (b"content-length", str(len(self.body)).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})


def raw_headers(headers: Mapping[str, str]) -> RawHeaders:
    """Headers in the form that ASGI wants."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
