"""A job worker in a process of its own: `python job_worker.py URL NAME FOLDER`. Says `ready` before it works.

`note` adds the job's id to FOLDER/notes. `hold` does, too, and then runs until FOLDER/release is there.
"""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from lading.core.clock import SystemClock
from lading.database import Database
from lading.jobs.context import JobContext
from lading.jobs.jobs import Job
from lading.jobs.worker import Timing, Worker

TIMING = Timing(timedelta(milliseconds=20), timedelta(milliseconds=200), timedelta(hours=1), timedelta(seconds=1))
# None thinks another dead because this machine is slow: tests move their own worker's clock for that.


async def main(url: str, name: str, folder: str) -> None:
    notes, release = Path(folder) / "notes", Path(folder) / "release"

    async def note(job: Job, _context: JobContext) -> None:
        # One append, so that processes do not mix their lines.
        descriptor = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{job.id}\n".encode())
        os.close(descriptor)

    async def hold(job: Job, context: JobContext) -> None:
        await note(job, context)
        while not release.exists():  # noqa: ASYNC110 — another process makes it
            await asyncio.sleep(0.02)

    database = await Database.open(url)
    worker = Worker(database, SystemClock(), {"note": note, "hold": hold}, name, timing=TIMING)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    print("ready", flush=True)  # noqa: T201 — the test waits for it
    await worker.run()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
