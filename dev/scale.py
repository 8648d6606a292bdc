"""Large numbers, on SQLite and on PostgreSQL (when it is installed): prints how long they take, and judges nothing.

100,000 dead blobs are collected, their rows and files; one of 10,000 waiting jobs is claimed. PostgreSQL runs without fsync.

    make scale                              everything
    .venv/bin/python dev/scale.py --blobs 5000 --jobs 1000 --only sqlite
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import uvloop
from sqlalchemy import func, insert, select

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lading.app.tables import ROOM_TABLES
from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.staging import Staging
from lading.blobs.store import BlobKey
from lading.core.clock import SystemClock
from lading.core.digests import Digest
from lading.core.folders import DataFolder
from lading.core.names import RepositoryName
from lading.database import Database
from lading.database.migrations import upgrade
from lading.jobs.claims import Claims
from lading.jobs.jobs import Status
from lading.jobs.tables import jobs
from lading.registry.creation import create_repository
from lading.registry.garbage import Garbage
from lading.registry.tables import blob_links, blobs
from support.databases import PostgresqlServer, postgresql_programs

LIVING = 0.1  # for each dead blob so many young ones, which the collection must pass over
CLAIMED = 500
BATCH = 5000


async def fill(database: Database, content: FilesystemBlobs, count: int, touched_at: datetime) -> None:
    """So many blobs of one repository, which no manifest needs, each with a tiny file."""
    async with database.write() as unit:
        name = RepositoryName(f"scale/at{touched_at:%Y%m%d}")
        repository = await create_repository(unit, name, by=None, now=touched_at)
    for start in range(0, count, BATCH):
        keys = [BlobKey.new(Digest.of(os.urandom(16))) for _ in range(min(BATCH, count - start))]
        for key in keys:
            path = content.locate(key).path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        digests = [key.digest.text for key in keys]
        moments = {"created_at": touched_at, "touched_at": touched_at}
        rows = [{"digest": key.digest.text, "generation": key.generation, "size": 1, **moments} for key in keys]
        links = [{"repository_id": repository, "digest": digest, "linked_at": touched_at} for digest in digests]
        async with database.write(durable=False) as unit:
            await unit.execute(insert(blobs), rows)
            await unit.execute(insert(blob_links), links)


async def collect(database: Database, folder: DataFolder, count: int) -> None:
    clock, content = SystemClock(), FilesystemBlobs(folder.blobs, folder.quarantine)
    living = int(count * LIVING)
    began = time.perf_counter()
    await fill(database, content, count, clock.now() - timedelta(days=2))
    await fill(database, content, living, clock.now())
    print(f"  made {count + living:,} blobs in {time.perf_counter() - began:.1f} s", flush=True)
    week, day = timedelta(days=7), timedelta(days=1)
    staging = Staging(folder.uploads)
    garbage = Garbage(
        database, content, staging, clock, holder="scale", grace=day, upload_lifetime=week, untagged_manifests=False
    )
    units: list[float] = []

    async def told(_done: int, _total: int, what: str) -> None:
        if what == "blobs":
            units.append(time.perf_counter())

    began, burned = time.perf_counter(), time.process_time()
    collected = await garbage.collect(told)
    took, burned = time.perf_counter() - began, time.process_time() - burned
    async with database.read() as connection:
        rows = await connection.scalar(select(func.count()).select_from(blobs))
    files = sum(1 for path in folder.blobs.rglob("*") if path.is_file())
    if (collected.blobs.count, rows, files) != (count, living, living):
        sys.exit(f"wrong: {collected} of {count}; {rows} rows and {files} files are left of {living}")
    pages = [after - before for before, after in pairwise(units)] or [took]
    print(
        f"  {count:,} dead blobs beside {living:,} living: {took:.1f} s, {count / took:,.0f}/s, CPU {burned:.1f} s; "
        f"a page of 500 takes {statistics.median(pages) * 1000:.0f} ms, at most {max(pages) * 1000:.0f} ms",
        flush=True,
    )


def waiting_jobs(count: int, now: datetime) -> Iterator[dict[str, object]]:
    """Half of them due; before those in order a quarter that is due later, and a quarter of an action nobody asks for."""
    kinds = ((0, "work", now), (0, "work", now), (-1, "work", now + timedelta(days=1)), (-1, "other", now))
    for number in range(count):
        rank, action, due = kinds[number % len(kinds)]
        yield {
            "id": f"{number:036}",
            "action": action,
            "parameters": "{}",
            "status": Status.WAITING.value,
            "rank": rank,
            "scheduled_at": due,
            "created_at": now,
            "updated_at": now,
        }


async def claim(database: Database, count: int) -> None:
    now = datetime.now(UTC)
    async with database.write() as unit:
        await unit.execute(insert(jobs), list(waiting_jobs(count, now)))
    claims, took = Claims(database, SystemClock(), "scale"), []
    for _ in range(min(CLAIMED, count // 2)):
        began = time.perf_counter()
        if await claims.claim(["work"]) is None:
            sys.exit("wrong: nothing to claim")
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    print(
        f"  {count:,} waiting jobs: claiming one takes {statistics.median(took):.2f} ms, "
        f"of a hundred the slowest {took[len(took) * 99 // 100]:.2f} ms",
        flush=True,
    )


async def measure(url: str, folder: DataFolder, arguments: argparse.Namespace) -> None:
    database = await Database.open(url)
    await upgrade(database)
    await claim(database, arguments.jobs)
    await collect(database, folder, arguments.blobs)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blobs", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    assert ROOM_TABLES  # imported, and so in the schema
    programs = postgresql_programs()
    for kind in ("sqlite", "postgresql") if arguments.only is None else (arguments.only,):
        if kind == "postgresql" and programs is None:
            print("postgresql: not installed: apt-get install postgresql")
            continue
        print(f"{kind} on {os.cpu_count()} cores:", flush=True)
        with tempfile.TemporaryDirectory(prefix="lading-scale-") as root:
            folder = DataFolder(Path(root) / "data")
            folder.make()
            if kind == "sqlite" or programs is None:
                uvloop.run(measure(f"sqlite+aiosqlite:///{folder.database}", folder, arguments))
                continue
            server = PostgresqlServer(programs)
            try:
                uvloop.run(measure(server.create(), folder, arguments))
            finally:
                server.stop()


main()
