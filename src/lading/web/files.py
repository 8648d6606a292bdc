"""Sending a file: nginx does it when it stands in front, else the app server. One small class each; doors see no difference.

One range is served; several are answered with the whole file, as RFC 9110 (14.2) allows.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lading.web.exchange import Answer, RawHeaders, Request, Send

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileToSend:
    """A file, how nginx names it, its size and the headers that go with it."""

    path: Path
    accelerated: str
    size_bytes: int
    headers: RawHeaders


class FileSender(Protocol):
    """Answers a GET or HEAD with a file, whole or one range of it."""

    async def send(self, file: FileToSend, request: Request, send: Send) -> None: ...


class AcceleratedFiles:
    """nginx sends the file; it also does ranges, and HEAD."""

    async def send(self, file: FileToSend, request: Request, send: Send) -> None:  # noqa: ARG002 — the contract's
        await Answer(200, [*file.headers, (b"x-accel-redirect", file.accelerated.encode())]).send(send)


class DirectFiles:
    """The app server sends the file itself."""

    async def send(self, file: FileToSend, request: Request, send: Send) -> None:
        span = parse_range(request.header(b"range"), file.size_bytes)
        if span is None:
            await Answer(416, [(b"content-range", f"bytes */{file.size_bytes}".encode())]).send(send)
            return
        start, end = span
        partial = end - start < file.size_bytes
        headers: RawHeaders = [
            *file.headers,
            (b"accept-ranges", b"bytes"),
            (b"content-length", str(end - start).encode()),
        ]
        if partial:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{file.size_bytes}".encode()))
        if request.method == "HEAD":
            await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
        descriptor = await asyncio.to_thread(os.open, file.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": headers})
            while start < end:
                chunk = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK, end - start), start)
                if not chunk:
                    return  # the file is shorter than the database says: the client sees a cut body, never a wrong one
                start += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": start < end})
            if not file.size_bytes:
                await send({"type": "http.response.body", "body": b""})
        finally:
            os.close(descriptor)


def parse_range(header: str | None, size: int) -> Sequence[int] | None:
    """Start and end (exclusive) of what is asked; all of it for no range, or several; None when it can't be satisfied.

    Source: RFC 9110, 14.1.2.
    """
    whole = (0, size)
    if header is None or "," in header or not header.startswith("bytes="):
        return whole
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None:
        return whole
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        return (start, end) if start < end else None
    if not last:
        return whole
    return (max(size - int(last), 0), size) if int(last) and size else None
