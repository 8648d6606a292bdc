"""Point reads: one prepared SELECT per question on the hot path, without SQLAlchemy's cost per call.

A room writes its question as a SQLAlchemy Core statement with named parameters; it is compiled once per database. Values
go in and come back raw (moments as microseconds). On SQLite the statement runs in the event loop on a read-only autocommit
connection: a WAL reader never waits, and a point read takes microseconds; so never a scan here.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import asyncpg  # type: ignore[import-untyped]  # ships no types
from sqlalchemy import SelectBase
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect

from lading.core.errors import UnavailableError

Row = Sequence[Any]

UNREACHABLE = (OSError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError)
"""What asyncpg raises when PostgreSQL is not there, goes, or comes."""
NO_ANSWER = "the database does not answer; try again in a moment"


class Point:
    """One prepared question. Compiled for both databases when it is made, at import."""

    __slots__ = ("constants", "names_postgresql", "names_sqlite", "sql_postgresql", "sql_sqlite")

    def __init__(self, statement: SelectBase) -> None:
        on_sqlite = statement.compile(dialect=sqlite.dialect(paramstyle="qmark"))
        on_postgresql = statement.compile(dialect=asyncpg_dialect.dialect())  # type: ignore[no-untyped-call]
        self.sql_sqlite, self.names_sqlite = str(on_sqlite), tuple(on_sqlite.positiontup or ())
        self.sql_postgresql, self.names_postgresql = str(on_postgresql), tuple(on_postgresql.positiontup or ())
        # Values that stand in the statement itself, such as the words of an enumeration.
        self.constants = {name: value for name, value in on_sqlite.params.items() if value is not None}

    def given(self, names: Sequence[str], values: Mapping[str, object]) -> list[object]:
        """The values in the order of their names."""
        if not self.constants:
            return [values[name] for name in names]
        known = {**self.constants, **values}
        return [known[name] for name in names]


class Points(Protocol):
    """Answers points. `count` says how many it has answered, for the bench."""

    count: int

    async def first(self, point: Point, **values: object) -> Row | None:
        """The first row, or None. Errors: UnavailableError when the database can't be reached."""
        ...

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        """All rows; the statement itself must be bounded. Errors: as `first`."""
        ...

    async def close(self) -> None: ...


class SqlitePoints:
    """Point reads on one read-only connection of this process, used from the event loop's thread only."""

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._connection = sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, isolation_level=None, cached_statements=256
        )
        self._connection.execute("PRAGMA query_only = 1")
        self._connection.execute("PRAGMA busy_timeout = 5000")

    async def first(self, point: Point, **values: object) -> Row | None:
        self.count += 1
        cursor = self._connection.execute(point.sql_sqlite, point.given(point.names_sqlite, values))
        row: Row | None = cursor.fetchone()
        cursor.close()  # an open cursor would hold its snapshot, and later reads would not see newer commits
        return row

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        self.count += 1
        return self._connection.execute(point.sql_sqlite, point.given(point.names_sqlite, values)).fetchall()

    async def close(self) -> None:
        self._connection.close()


class PostgresqlPoints:
    """Point reads on a small pool of asyncpg connections, each keeping its prepared statements."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.count = 0
        self._pool = pool

    async def first(self, point: Point, **values: object) -> Row | None:
        self.count += 1
        given = point.given(point.names_postgresql, values)
        try:
            row: Row | None = await self._pool.fetchrow(point.sql_postgresql, *given)
        except UNREACHABLE as error:
            raise UnavailableError(NO_ANSWER) from error
        return row

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        self.count += 1
        given = point.given(point.names_postgresql, values)
        try:
            found: Sequence[Row] = await self._pool.fetch(point.sql_postgresql, *given)
        except UNREACHABLE as error:
            raise UnavailableError(NO_ANSWER) from error
        return found

    async def close(self) -> None:
        await self._pool.close()
