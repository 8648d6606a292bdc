"""One request and its answer on the plain doors (`/v2`, `/auth`), whichever way the app server hands them over.

Behind nginx the app server speaks RSGI, which costs half of what ASGI does per request; without nginx it speaks ASGI, which
alone keeps the raw path (docs/decisions/0004). A door sees neither: it gets a Request and gives an Answer.

Behind nginx some facts come in headers that only nginx can set (`X-Lading-…`); without it they are ignored, since then
anyone could set them.
"""

import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl

from lading.core.errors import InvalidError, TooLargeError

_QUERY_FIELDS = 128
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)

Headers = list[tuple[str, str]]

BODILESS = frozenset({204, 304})
"""Statuses of answers that have no body, and so no Content-Length of ours. Source: RFC 9110, 8.6."""


class RequestCutError(InvalidError):
    """The client went away before its body was whole."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self) -> None:
        super().__init__("the client went away before its body was whole")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that came with the connection: PEM as in a URL, and what nginx says of it: SUCCESS, or FAILED:why."""

    escaped: str
    verdict: str


class Request:
    """What a door reads of a request. `behind_edge` tells whether the X-Lading headers are nginx's."""

    __slots__ = ("_all", "_chunks", "_id", "_peer", "_query", "behind_edge", "header", "method", "path", "query_string")

    def __init__(
        self,
        method: str,
        path: bytes,
        query_string: bytes,
        *,
        header: Callable[[str], str | None],
        headers: Callable[[str], list[str]],
        chunks: Callable[[], AsyncIterator[bytes]],
        peer: str,
        behind_edge: bool,
    ) -> None:
        self.method = method
        self.path = path  # raw: nothing is decoded
        self.query_string = query_string
        self.header = header  # a header's value, by its lower-case name; None when it is absent
        self.behind_edge = behind_edge
        self._all = headers
        self._chunks = chunks
        self._peer = peer
        self._query: dict[str, list[str]] | None = None
        self._id: str | None = None

    def headers(self, name: str) -> list[str]:
        """All values of a header that came several times."""
        return self._all(name)

    def edge_header(self, name: str) -> str | None:
        """The value of a header that only nginx sets; None when it is absent, empty, or there is no nginx."""
        return (self.header(name) or None) if self.behind_edge else None

    def at(self, method: str, path: bytes, query_string: bytes) -> "Request":
        """The same request, as if for another method and path, and without its body: what nginx asks about beforehand."""
        return Request(
            method,
            path,
            query_string,
            header=self.header,
            headers=self._all,
            chunks=_nothing,
            peer=self._peer,
            behind_edge=self.behind_edge,
        )

    @property
    def query(self) -> Mapping[str, list[str]]:
        """The query's values by name, in order. Errors: InvalidError when it has too many."""
        if self._query is None:
            self._query = parse_query(self.query_string) if self.query_string else {}
        return self._query

    def value(self, name: str) -> str | None:
        """The first value of a query parameter, None when it is absent."""
        values = self.query.get(name)
        return values[0] if values else None

    @property
    def request_id(self) -> str:
        """nginx's id of the request, or a new one."""
        if self._id is None:
            known = self.edge_header("x-request-id")
            self._id = known if known is not None and _REQUEST_ID.fullmatch(known) else secrets.token_hex(16)
        return self._id

    @property
    def client(self) -> str:
        """The client's address."""
        return self.edge_header("x-lading-client") or self._peer

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client showed of itself when it connected; None without one, and without nginx."""
        escaped = self.edge_header("x-lading-client-certificate")
        if escaped is None:
            return None
        return ClientCertificate(escaped, self.edge_header("x-lading-client-verify") or "")

    @property
    def is_from_another_site(self) -> bool:
        """True when a browser says that another site's page sent this; programs say nothing of it.

        Asked of callers whom the browser itself proves, without their doing. Source: Fetch Metadata; RFC 6454, 7.
        """
        if self.header("sec-fetch-site") in {"cross-site", "same-site"}:
            return True
        origin = self.header("origin")
        return origin is not None and origin.lower() != self.origin

    @property
    def host(self) -> str:
        """The Host header, lower case, with its port."""
        return (self.header("host") or "").lower()

    @property
    def origin(self) -> str:
        """Where the client sees us: scheme, host and port. The scheme may be what a trusted proxy said."""
        return f"{self.edge_header('x-lading-scheme') or 'https'}://{self.host}"

    @property
    def length(self) -> int | None:
        """Content-Length; None when the body's length is not known beforehand. Errors: InvalidError."""
        return parse_length(self.header("content-length"))

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Errors: RequestCutError."""
        return self._chunks()

    async def body(self, limit_bytes: int) -> bytes:
        """The whole body. Errors: TooLargeError beyond the limit, before more is read; RequestCutError."""
        length = self.length
        if length is not None and length > limit_bytes:
            raise TooLargeError(f"the body has {length} bytes, more than the {limit_bytes} allowed")
        parts: list[bytes] = []
        size = 0
        async for chunk in self._chunks():
            size += len(chunk)
            if size > limit_bytes:
                raise TooLargeError(f"the body has more than the {limit_bytes} bytes allowed")
            parts.append(chunk)
        if length is not None and size < length:
            raise RequestCutError
        return b"".join(parts) if len(parts) != 1 else parts[0]


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""  # type: ignore[unreachable]  # makes it a generator


def parse_length(text: str | None) -> int | None:
    """A Content-Length; None for None. Errors: InvalidError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):  # noqa: PLR2004 — 64 bits
        raise InvalidError("Content-Length is not a number")
    return int(text)


def parse_query(raw: bytes) -> dict[str, list[str]]:
    """A query's, or a form's, values by name, in order.

    Errors: InvalidError when it has too many, is not UTF-8, or holds NUL, which PostgreSQL keeps in no text.
    """
    if b"%00" in raw or b"\0" in raw:
        raise InvalidError("the query holds a NUL character")
    try:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidError("the query has too many values, or is not UTF-8") from error
    values: dict[str, list[str]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return values


@dataclass(frozen=True, slots=True)
class FileBody:
    """A file as an answer's body. `accelerated` is how nginx names it."""

    path: Path
    accelerated: str
    size_bytes: int


@dataclass(slots=True)
class Answer:
    """Status, headers and a body: bytes in memory, or a file. Content-Length is added where it is missing.

    Or a body that grows: chunks that are sent as they come. An empty one sends nothing, and only asks whether the client is
    still there.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    file: FileBody | None = None
    growing: AsyncGenerator[bytes, None] | None = None

    def without_body(self) -> "Answer":
        """The answer to HEAD: the headers tell the body's length, which does not come."""
        if self.growing is not None:
            return replace(self, growing=None)
        if self.body:
            # Said once: two lengths, even equal ones, are no answer (RFC 9112, 6.3), and FastAPI has said it already.
            headers = [item for item in self.headers if item[0] != "content-length"]
            return replace(self, headers=[*headers, ("content-length", str(len(self.body)))], body=b"")
        return self


Door = Callable[[Request], Awaitable[Answer]]
"""Parses, asks, answers; every LadingError is an answer by then."""
