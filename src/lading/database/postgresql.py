"""PostgreSQL by asyncpg: imported where there is one, since it takes long and most installations have none."""

from collections.abc import Sequence
from typing import Self

import asyncpg  # type: ignore[import-untyped]  # ships no types

from lading.core.errors import UnavailableError
from lading.database.points import NO_ANSWER, Point, Row


class PostgresqlPoints:
    """Point reads on a small pool of asyncpg connections, each keeping its prepared statements."""

    unreachable: tuple[type[BaseException], ...] = (
        OSError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
    )

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.count = 0
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, size: int) -> Self:
        """Over at most so many connections to `postgresql://…`. Errors: UnavailableError."""
        try:
            return cls(await asyncpg.create_pool(url, min_size=1, max_size=size))
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise UnavailableError(
                "the database does not answer: check database.url and that PostgreSQL runs"
            ) from error

    async def first(self, point: Point, **values: object) -> Row | None:
        self.count += 1
        prepared = point.on_postgresql
        try:
            row: Row | None = await self._pool.fetchrow(prepared.sql, *prepared.given(values))
        except self.unreachable as error:
            raise UnavailableError(NO_ANSWER) from error
        return row

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        self.count += 1
        prepared = point.on_postgresql
        try:
            found: Sequence[Row] = await self._pool.fetch(prepared.sql, *prepared.given(values))
        except self.unreachable as error:
            raise UnavailableError(NO_ANSWER) from error
        return found

    async def close(self) -> None:
        await self._pool.close()
