"""HTTP/1.1 from nginx, on a unix socket: parsed by httptools, answered by a door, in the event loop's own thread.

An ASGI server hands each request to Python through scopes, messages and, in Granian's case, another thread; behind nginx all
of that costs three times what the request itself does (docs/decisions/0004). What is left out here nginx does: TLS, HTTP/2,
timeouts, limits on headers, bodies of uploads, files, HEAD. The socket lies in a folder that only this user can enter.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import cast

import httptools
import structlog

from lading.web.exchange import BODILESS, Answer, Door, Request, RequestCutError
from lading.web.origin import begin_answering

log = structlog.get_logger()

_UNREADABLE_BODY = '{"errors":[{"code":"UNSUPPORTED","message":"the request is not HTTP as it should be"}]}'
_UNREADABLE = Answer(400, [("content-type", "application/json")], _UNREADABLE_BODY.encode())
_UNREADABLE_CHECK = Answer(403, [("x-status", "400"), ("x-error", _UNREADABLE_BODY)])  # as registry.routes refuses one
_AHEAD = 256 * 1024  # bytes of a body that wait for the door, or for nginx; then the other side waits, too
_DRAIN_SECONDS = 0.05


class _Body:
    """A request's body as it comes. Who never asks for it gets none of it into memory but `_AHEAD`."""

    __slots__ = ("_chunks", "_is_cut", "_is_paused", "_is_wanted", "_size", "_transport", "_waiting", "is_whole")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.is_whole = False
        self._transport = transport
        self._chunks: list[bytes] = []
        self._size = 0
        self._is_cut = self._is_paused = False
        self._is_wanted = True
        self._waiting: asyncio.Future[None] | None = None

    def feed(self, chunk: bytes) -> None:
        if self._is_wanted:
            self._chunks.append(chunk)
            self._size += len(chunk)
            if self._size > _AHEAD and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            self._wake()

    def end(self) -> None:
        self.is_whole = True
        self._wake()

    def cut(self) -> None:
        self._is_cut = True
        self._wake()

    def discard(self) -> None:
        """What still comes is for nobody."""
        self._is_wanted = False
        self._take()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            for chunk in self._take():
                yield chunk
            if self._chunks:
                continue
            if self.is_whole:
                return
            if self._is_cut:
                raise RequestCutError
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def _take(self) -> list[bytes]:
        taken, self._chunks, self._size = self._chunks, [], 0
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
        return taken

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class UnixFront(asyncio.Protocol):
    """One connection from nginx. Requests come one after the other; nginx does not send two at once.

    The door is asked as soon as the headers are there: it knows who sends a body before it takes any of it.
    """

    __slots__ = ("_body", "_door", "_headers", "_parser", "_tasks", "_transport", "_url")

    def __init__(self, door: Door, tasks: set[asyncio.Task[None]]) -> None:
        self._door = door
        self._tasks = tasks
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._headers: dict[bytes, bytes | list[bytes]] = {}
        self._body: _Body | None = None

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._body is not None:
            self._body.cut()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse()

    # httptools

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        known = self._headers.get(name)
        if known is None:
            self._headers[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            self._headers[name] = [known, value]

    def on_headers_complete(self) -> None:
        transport = self._transport
        if transport is None:
            raise RuntimeError("a connection that was never made sends nothing")
        path, _, query = self._url.partition(b"?")
        headers, body = self._headers, _Body(transport)
        self._body = body

        def header(name: str) -> str | None:
            value = headers.get(name.encode())
            if value is None:
                return None
            return (value[0] if isinstance(value, list) else value).decode("latin-1")

        def values(name: str) -> list[str]:
            value = headers.get(name.encode(), [])
            return [item.decode("latin-1") for item in (value if isinstance(value, list) else [value])]

        request = Request(
            self._parser.get_method().decode("latin-1"),
            path,
            query,
            header=header,
            headers=values,
            chunks=body.chunks,
            peer="",
            behind_edge=True,
        )
        task = asyncio.get_running_loop().create_task(self._answer(request, body))
        self._tasks.add(task)  # so that it is neither forgotten nor cut off when the worker ends
        task.add_done_callback(self._tasks.discard)

    def on_body(self, chunk: bytes) -> None:
        if self._body is not None:
            self._body.feed(chunk)

    def on_message_complete(self) -> None:
        if self._body is not None:
            self._body.end()

    async def _answer(self, request: Request, body: _Body) -> None:
        begin_answering(request)
        try:
            answer = await self._door(request)
        except RequestCutError:
            self._close()
            return
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(_message(answer))
            if answer.growing is not None:
                await _send_growing(answer.growing, transport)
        if not body.is_whole:
            body.discard()

    def _refuse(self) -> None:
        """nginx passes on what this parser, stricter, can't read: unknown methods, bytes outside ASCII, control characters."""
        log.info("a request that can't be parsed was refused")
        transport = self._transport
        if transport is not None and not transport.is_closing():
            is_check = self._url == b"/_edge/check"
            transport.write(_message(_UNREADABLE_CHECK if is_check else _UNREADABLE))
            transport.close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _send_growing(growing: AsyncGenerator[bytes, None], transport: asyncio.Transport) -> None:
    """The chunks are sent as they come, as long as nginx is there to take them. Source: RFC 9112, 7.1."""
    async with aclosing(growing):
        async for chunk in growing:
            if chunk and not transport.is_closing():
                transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            while transport.get_write_buffer_size() > _AHEAD and not transport.is_closing():  # noqa: ASYNC110 — no event tells
                await asyncio.sleep(_DRAIN_SECONDS)
            if transport.is_closing():
                return
    transport.write(b"0\r\n\r\n")


def _message(answer: Answer) -> bytes:
    """The answer as HTTP/1.1. Source: RFC 9112."""
    lines = [f"HTTP/1.1 {answer.status} \r\n"]
    has_length = False
    for name, value in answer.headers:
        lines.append(f"{name}: {value}\r\n")
        has_length = has_length or name == "content-length"
    if answer.growing is not None:
        lines.append("transfer-encoding: chunked\r\nx-accel-buffering: no\r\n")
        has_length = True
    if answer.file is not None:
        lines.append(f"x-accel-redirect: {answer.file.accelerated}\r\n")
    if not has_length and answer.status not in BODILESS:
        lines.append(f"content-length: {len(answer.body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1") + answer.body
