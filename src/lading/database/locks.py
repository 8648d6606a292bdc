"""Leases by name, so that one process of all replicas does a thing at a time. Expired ones may be taken over."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.database.schema import locks
from lading.database.upserts import upsert


async def try_lease(unit: AsyncConnection, name: str, holder: str, now: datetime, length: timedelta) -> bool:
    """True when `holder` has the lease `name` until `now + length`: newly, again, or taken over from a dead one."""
    insert = upsert(unit)
    row = {"name": name, "holder": holder, "expires_at": now + length}
    await unit.execute(insert(locks).values(row).on_conflict_do_nothing())
    taken = await unit.execute(
        update(locks)
        .where(locks.c.name == name, (locks.c.holder == holder) | (locks.c.expires_at < now))
        .values(holder=holder, expires_at=now + length)
    )
    return bool(taken.rowcount)


async def release(unit: AsyncConnection, name: str, holder: str) -> None:
    """Gives the lease back, when `holder` has it."""
    await unit.execute(delete(locks).where(locks.c.name == name, locks.c.holder == holder))


async def find_holder(connection: AsyncConnection, name: str, now: datetime) -> str | None:
    """Who has the lease now, or None."""
    holder: str | None = await connection.scalar(
        select(locks.c.holder).where(locks.c.name == name, locks.c.expires_at >= now)
    )
    return holder
