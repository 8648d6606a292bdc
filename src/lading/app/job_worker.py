"""The job worker's process."""

import asyncio
import gc
import signal

import uvloop

from lading.app.boot import Boot
from lading.app.parts import open_parts
from lading.app.processes import begin
from lading.app.work import handlers, set_schedules
from lading.jobs.worker import Worker


def main() -> None:
    """Works on the queue until SIGTERM."""
    uvloop.run(_run(begin()))


async def _run(boot: Boot) -> None:
    async with open_parts(boot) as parts:
        await set_schedules(parts)
        gc.freeze()
        gc.enable()
        worker = Worker(parts.database, parts.clock, handlers(parts), boot.replica)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.stop)
        await worker.run()
