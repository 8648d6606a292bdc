"""How an ASGI server's requests reach our doors, when no nginx stands in front. Source: ASGI specification 3.0, HTTP."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

from lading.core.errors import InvalidError
from lading.web.errors import error_answer
from lading.web.exchange import BODILESS, Answer, Door, FileBody, Headers, Request, RequestCutError
from lading.web.files import parse_range
from lading.web.origin import answering

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_CHUNK = 1024 * 1024

_UNREAD_BYTES = 256 * 1024
_UNREAD_SECONDS = 1.0
"""Whoever is refused in the middle of a body so small is heard out: a client that still sends when the connection closes may
see that, and not the answer. nginx does the same with its lingering_close."""


async def answer_asgi(door: Door, scope: Scope, receive: Receive, send: Send) -> None:
    """The door's answer to an ASGI request, files and ranges included."""
    names: dict[str, list[str]] = {}
    for key, value in scope["headers"]:
        names.setdefault(key.decode("latin-1"), []).append(value.decode("latin-1"))

    is_read = False

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal is_read
        while not is_read:
            message = await receive()
            is_read = not message.get("more_body", False)
            if message["type"] == "http.disconnect":
                raise RequestCutError
            if body := message.get("body", b""):
                yield body

    peer = scope.get("client")
    request = Request(
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        header=lambda name: names[name][0] if name in names else None,
        headers=lambda name: names.get(name, []),
        chunks=chunks,
        peer=str(peer[0]) if peer else "",
        behind_edge=False,
    )
    with answering(request):
        answer = await door(request)
    if not is_read and request.header("content-length") is not None:
        await _hear_out(request)
    if answer.file is not None:
        await _send_file(answer, answer.file, request, send)
    elif answer.growing is not None:
        await _send_growing(answer, answer.growing, receive, send)
    else:
        await _send(answer, send)


async def _hear_out(request: Request) -> None:
    with contextlib.suppress(TimeoutError, InvalidError):
        if request.header("expect") is None and (request.length or 0) <= _UNREAD_BYTES:
            async with asyncio.timeout(_UNREAD_SECONDS):
                async for _ in request.chunks():
                    pass


def _start(status: int, headers: Headers) -> MutableMapping[str, Any]:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


async def _send(answer: Answer, send: Send) -> None:
    headers = answer.headers
    if answer.status not in BODILESS and not any(name == "content-length" for name, _ in headers):
        headers = [*headers, ("content-length", str(len(answer.body)))]
    await send(_start(answer.status, headers))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_growing(answer: Answer, growing: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """The chunks are sent as they come, as long as the client is there."""
    leaving = asyncio.create_task(_leave(receive))
    try:
        await send(_start(answer.status, answer.headers))
        # Servers hold the headers back until there is something of a body, even if it is nothing.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async with aclosing(growing):
            async for chunk in growing:
                if leaving.done():
                    return
                if chunk:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        leaving.cancel()


async def _leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_file(answer: Answer, file: FileBody, request: Request, send: Send) -> None:
    span = parse_range(request.header("range"), file.size_bytes)
    if span is None:
        headers = [item for item in answer.headers if item[0].startswith("docker-")]
        headers.append(("content-range", f"bytes */{file.size_bytes}"))
        message = "the range lies outside the content"
        refused = error_answer(416, "RANGE_INVALID", message, request.request_id, headers=headers)
        await _send(refused.without_body() if request.method == "HEAD" else refused, send)
        return
    start, end = span
    partial = end - start < file.size_bytes
    headers = [*answer.headers, ("accept-ranges", "bytes"), ("content-length", str(end - start))]
    if partial:
        headers.append(("content-range", f"bytes {start}-{end - 1}/{file.size_bytes}"))
    begin = _start(206 if partial else 200, headers)
    if request.method == "HEAD" or start == end:
        await send(begin)
        await send({"type": "http.response.body", "body": b""})
        return
    descriptor = await asyncio.to_thread(os.open, file.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await send(begin)
        while start < end:
            chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK, end - start), start)
            if not chunk:
                return  # the file is shorter than the database says: the client sees a cut body, never a wrong one
            start += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": start < end})
    finally:
        os.close(descriptor)
