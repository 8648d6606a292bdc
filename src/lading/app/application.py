"""The application: sends each path to its door, and does what is done beside answering."""

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import structlog

from lading.app.boot import Boot
from lading.app.doors import Doors, make_doors
from lading.app.parts import open_parts
from lading.cluster.replicas import HEARTBEAT
from lading.cluster.site import SETTINGS_EVERY
from lading.keys.token_signing import RELOAD_EVERY
from lading.web.asgi import Receive, Scope, Send, answer_asgi
from lading.web.exchange import Answer, Door, Request
from lading.web.metrics import Metrics

log = structlog.get_logger()

_COUNTS_EVERY = timedelta(seconds=5)


class Application:
    """The application: sends each path to its door. An ASGI application, too, for when no nginx stands in front."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self._parts: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._metrics = Metrics()
        self._doors: Doors | None = None

    async def door(self, request: Request) -> Answer:
        """The door that the path leads to, asked."""
        if self._doors is None:
            raise RuntimeError("a request came before the start was over")
        name, door = self._doors.at(request.path)
        began = time.perf_counter()
        answer = await self._asked(door, request)
        self._metrics.count(name, request.method, answer.status, time.perf_counter() - began)
        return answer

    async def _asked(self, door: Door, request: Request) -> Answer:
        try:
            return await door(request)
        except Exception:
            # Said here once, with its trace; what the client gets says nothing of it.
            log.exception("unexpected failure", request_id=request.request_id, method=request.method)
            body = {
                "errors": [{"code": "UNKNOWN", "message": "something failed; tell the administrator the request id"}]
            }
            document = json.dumps({**body, "requestId": request.request_id}).encode()
            return Answer(500, [("content-type", "application/json")], document)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await answer_asgi(self.door, scope, receive, send)

    async def close(self) -> None:
        """All is given back."""
        await self._parts.aclose()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception:
            log.exception("the app worker can't start")
            await send({"type": "lifespan.startup.failed"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """All doors are open."""
        parts = await self._parts.enter_async_context(open_parts(self._boot))
        self._doors = make_doors(parts)
        pulls, uploads = self._doors.registry.pulls, self._doors.registry.uploads
        self._metrics.sources |= {
            "point_reads": lambda: parts.database.points.count,
            "manifest_cache_hits": lambda: pulls.bytes_of.hits,
            "manifest_cache_misses": lambda: pulls.bytes_of.misses,
            "blob_bytes_sent": lambda: pulls.counts.blob_bytes,
            "uploads": lambda: uploads.counts.uploads,
            "upload_bytes": lambda: uploads.counts.size_bytes,
        }
        background: Sequence[tuple[timedelta, Callable[[], Awaitable[None]]]] = (
            (_COUNTS_EVERY, pulls.write_counts),
            (_COUNTS_EVERY, self._metrics.flush),
            (_COUNTS_EVERY, parts.sign_in_log.flush),
            (_COUNTS_EVERY, parts.refusals.flush),
            (RELOAD_EVERY, parts.signer.reload),
            (SETTINGS_EVERY, parts.live.refresh),
            (HEARTBEAT, parts.replicas.beat),
        )
        for every, work in background:
            task = asyncio.create_task(_repeat(every, work))
            self._parts.push_async_callback(_end, task)
        self._parts.push_async_callback(pulls.write_counts)
        self._parts.push_async_callback(parts.sign_in_log.flush, is_last=True)
        self._parts.push_async_callback(parts.refusals.flush, is_last=True)
        gc.freeze()  # what was made so far stays for good: the collector need not look at it while requests wait
        gc.enable()


async def _repeat(every: timedelta, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await work()
        except Exception:
            log.exception("background work failed; it is tried again")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
