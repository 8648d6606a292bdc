"""The processes of a running server, as `lading serve` starts them: app workers and the job worker.

All read the settings of this run from the file that LADING_BOOT names.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from pathlib import Path

import uvloop

from lading import logs
from lading.app.application import Application
from lading.app.boot import Boot
from lading.app.parts import open_parts
from lading.app.work import handlers, set_schedules
from lading.edge.lifeline import die_with_parent
from lading.jobs.worker import Worker
from lading.web.unix import UnixFront


async def run_jobs(boot: Boot) -> None:
    """Works on the queue until SIGTERM."""
    async with open_parts(boot) as parts:
        await set_schedules(parts)
        gc.enable()
        worker = Worker(parts.database, parts.clock, handlers(parts), boot.replica)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()


async def run_worker(boot: Boot, listening: socket.socket) -> None:
    """Answers nginx on the socket until SIGTERM; then what runs is finished, for `drain_seconds` at most."""
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


def _boot() -> Boot:
    """The boot of this run; called first in each process of it."""
    die_with_parent()
    boot = Boot.read(Path(os.environ["LADING_BOOT"]))
    logs.configure(boot.settings.log.level, boot.settings.log.format)
    return boot


def application() -> Application:
    """The application of this run, made in each worker of an ASGI server."""
    return Application(_boot())


def main() -> None:
    """`jobs`, or `worker` with the number of the listening socket's descriptor."""
    match sys.argv[1:]:
        case ["jobs"]:
            uvloop.run(run_jobs(_boot()))
        case ["worker", descriptor]:
            uvloop.run(run_worker(_boot(), socket.socket(fileno=int(descriptor))))
        case _:
            sys.exit("this is started by `lading serve`")
