"""The names of accounts by their ids, and the other way round: for lists and logs that keep one and tell the other."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select

from lading.accounts.tables import accounts
from lading.database import Database

_AT_ONCE = 5000


@dataclass(frozen=True)
class AccountNames:
    """Answers `events.feed.Names`."""

    database: Database

    async def __call__(self, ids: Collection[str]) -> Mapping[str, str]:
        """Names by id, of those that there are."""
        found: dict[str, str] = {}
        wanted = list(ids)
        async with self.database.read() as connection:
            for first in range(0, len(wanted), _AT_ONCE):
                rows = await connection.execute(
                    select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(wanted[first : first + _AT_ONCE]))
                )
                found |= {row.id: row.name for row in rows}
        return found

    async def ids_of(self, names: Collection[str]) -> Mapping[str, str]:
        """Ids by name, of those that there are; at most 5,000 are asked about."""
        async with self.database.read() as connection:
            rows = await connection.execute(
                select(accounts.c.id, accounts.c.name).where(accounts.c.name.in_(list(names)[:_AT_ONCE]))
            )
            return {row.name: row.id for row in rows}
