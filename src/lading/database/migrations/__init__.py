"""The schema's history, and bringing a database to its newest state before any worker starts.

Replicas may start at once: a lease row lets one of them migrate, the others wait for it.
"""

import asyncio
import secrets
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from lading.core.clock import SystemClock
from lading.core.errors import UnavailableError
from lading.database.engine import Database
from lading.database.locks import release, try_lease
from lading.database.schema import locks

_LEASE = timedelta(minutes=10)
_ATTEMPTS = 600
_VERSIONS = Path(__file__).parent / "versions"


def newest() -> str:
    """The revision that this version of the program wants: the number that the last file in `versions` begins with."""
    return max(path.name for path in _VERSIONS.glob("[0-9]*.py")).partition("_")[0]


async def current(database: Database) -> str | None:
    """The revision that the database is at; None when it is empty."""
    async with database.read() as connection:
        if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
            return None
        revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


async def upgrade(database: Database) -> None:
    """The database is at the newest revision. Safe to run twice, and by several replicas at once.

    Errors: UnavailableError when another replica holds the migration for too long.
    """
    if await current(database) == newest():
        return
    holder, clock = secrets.token_hex(6), SystemClock()
    await _make_locks(database)
    for _ in range(_ATTEMPTS):
        async with database.write() as unit:
            mine = await try_lease(unit, "migration", holder, clock.now(), _LEASE)
        if mine:
            break
        await asyncio.sleep(0.5)
    else:
        raise UnavailableError("another replica has been migrating the database for long; see its log")
    try:
        if await current(database) != newest():
            async with database.write() as unit:
                await unit.run_sync(_run)
    finally:
        async with database.write() as unit:
            await release(unit, "migration", holder)


async def _make_locks(database: Database) -> None:
    try:
        async with database.write() as unit:
            await unit.run_sync(lambda sync: locks.create(sync, checkfirst=True))
    except DBAPIError:
        # Two replicas made it at the same time; PostgreSQL tells one of them so. If not, what follows fails clearly.
        await asyncio.sleep(0.1)


def _run(connection: Connection) -> None:
    # Imported here: Alembic takes long to import, and every process asks for the revision, but only one migrates.
    from alembic import command  # noqa: PLC0415 — see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_VERSIONS.parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
