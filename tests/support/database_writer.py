"""A process that writes to a database in a loop until it is told to end: `python database_writer.py URL NAME`.

Each round adds one to the counter NAME, reading it first in the same unit of work. Says `ready` when the first is done.
"""

import asyncio
import signal
import sys
from datetime import timedelta

from sqlalchemy import select, update

from lading.core.clock import EPOCH
from lading.database import Database
from lading.database.schema import locks

STEP = timedelta(microseconds=1)


async def main(url: str, name: str) -> None:
    database = await Database.open(url)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    ready = False
    while not ending.is_set():
        async with database.write(durable=False) as unit:
            count = await unit.scalar(select(locks.c.expires_at).where(locks.c.name == name)) or EPOCH
            await unit.execute(update(locks).where(locks.c.name == name).values(expires_at=count + STEP))
        if not ready:
            print("ready", flush=True)  # noqa: T201 — the test waits for it
            ready = True
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
