"""ASGI on both sides: how an ASGI server's requests reach our doors, when no nginx stands in front; and how a door asks an
ASGI application, which the REST APIs are. Source: ASGI specification 3.0, HTTP.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

from lading.web.exchange import Answer, Door, FileBody, Headers, Request, RequestCutError
from lading.web.files import parse_range

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_CHUNK = 1024 * 1024


# --- an ASGI server in front -----------------------------------------------------------------------------------------


async def answer_asgi(door: Door, scope: Scope, receive: Receive, send: Send) -> None:
    """The door's answer to an ASGI request, files and ranges included."""
    names: dict[str, list[str]] = {}
    for key, value in scope["headers"]:
        names.setdefault(key.decode("latin-1"), []).append(value.decode("latin-1"))

    async def chunks() -> AsyncIterator[bytes]:
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestCutError
            if body := message.get("body", b""):
                yield body
            if not message.get("more_body", False):
                return

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
    answer = await door(request)
    if answer.file is not None:
        await _send_file(answer, answer.file, request, send)
    else:
        await _send(answer, send)


def _start(status: int, headers: Headers) -> MutableMapping[str, Any]:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": encoded}


async def _send(answer: Answer, send: Send) -> None:
    headers = answer.headers
    if answer.status != 204 and not any(name == "content-length" for name, _ in headers):  # noqa: PLR2004 — No Content
        headers = [*headers, ("content-length", str(len(answer.body)))]
    await send(_start(answer.status, headers))
    await send({"type": "http.response.body", "body": answer.body})


async def _send_file(answer: Answer, file: FileBody, request: Request, send: Send) -> None:
    span = parse_range(request.header("range"), file.size_bytes)
    if span is None:
        await _send(Answer(416, [("content-range", f"bytes */{file.size_bytes}")]), send)
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


# --- an ASGI application behind --------------------------------------------------------------------------------------


def asgi_door(app: AsgiApp) -> Door:
    """A door that asks an ASGI application. Its answers are small and are collected whole; its bodies stream in."""

    async def door(request: Request) -> Answer:
        body = request.chunks()
        answer = Answer(500)
        parts: list[bytes] = []

        async def receive() -> MutableMapping[str, Any]:
            try:
                chunk = await anext(body)
            except StopAsyncIteration:
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": chunk, "more_body": True}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in message["headers"]]
            elif message["type"] == "http.response.body":
                parts.append(bytes(message.get("body", b"")))

        await app(_asgi_scope(request), receive, send)
        answer.body = b"".join(parts)
        return answer

    return door


_PASSED_ON = (
    "host", "authorization", "content-type", "content-length", "accept", "cookie", "user-agent", "x-csrf-token", "origin",
)  # fmt: skip


def _asgi_scope(request: Request) -> Scope:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name in _PASSED_ON for value in request.headers(name)
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": unquote(request.path.decode("latin-1")),
        "raw_path": request.path,
        "query_string": request.query_string,
        "root_path": "",
        "headers": headers,
        "client": (request.client, 0),
        "server": None,
        "state": {"request_id": request.request_id},
    }
