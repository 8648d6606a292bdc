"""An app worker's process."""

import asyncio
import signal
import socket

import uvloop

from lading.app.application import Application
from lading.app.boot import Boot
from lading.app.processes import begin
from lading.web.unix import UnixFront


def main(descriptor: int) -> None:
    """Answers nginx on the listening socket `descriptor` until SIGTERM; then what runs is finished, within `drain_seconds`."""
    uvloop.run(_run(begin(), socket.socket(fileno=descriptor)))


def application() -> Application:
    """The application of this run, made in each worker of an ASGI server."""
    return Application(begin())


async def _run(boot: Boot, listening: socket.socket) -> None:
    application = Application(boot)
    await application.start()
    loop, tasks, ending = asyncio.get_running_loop(), set[asyncio.Task[None]](), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    server = await loop.create_unix_server(lambda: UnixFront(application.door, tasks), sock=listening)
    await ending.wait()
    server.close()
    if tasks:
        await asyncio.wait(tasks, timeout=boot.settings.server.drain_seconds)
    await application.close()
