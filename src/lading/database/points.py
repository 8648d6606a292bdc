"""Point reads: one prepared SELECT per question on the hot path, without SQLAlchemy's cost per call.

A room writes its question as a SQLAlchemy Core statement with named parameters; it is compiled once per database. Values
go in and come back raw (moments as microseconds). On SQLite the statement runs in the event loop on a read-only autocommit
connection: a WAL reader never waits, and a point read takes microseconds; so never a scan here.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Dialect, SelectBase
from sqlalchemy.dialects import sqlite

Row = Sequence[Any]
NO_ANSWER = "the database does not answer; try again in a moment"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question in one database's words. `constants` are values that stand in it, such as the words of an enumeration."""

    sql: str
    names: tuple[str, ...]
    constants: Mapping[str, object]

    def given(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of their names."""
        if not self.constants:
            return [values[name] for name in self.names]
        known = {**self.constants, **values}
        return [known[name] for name in self.names]


class Point:
    """One question, prepared for a database when it is first asked there."""

    def __init__(self, statement: SelectBase) -> None:
        self._statement = statement

    @cached_property
    def on_sqlite(self) -> Prepared:
        return self._prepared(sqlite.dialect(paramstyle="qmark"))

    @cached_property
    def on_postgresql(self) -> Prepared:
        from sqlalchemy.dialects.postgresql import asyncpg  # noqa: PLC0415 — most installations have no PostgreSQL

        return self._prepared(asyncpg.dialect())  # type: ignore[no-untyped-call]

    def _prepared(self, dialect: Dialect) -> Prepared:
        compiled = self._statement.compile(dialect=dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return Prepared(str(compiled), tuple(compiled.positiontup or ()), constants)


class Points(Protocol):
    """Answers points. `count` says how many it has answered, for the bench."""

    count: int
    unreachable: tuple[type[BaseException], ...]
    """What the driver raises when the database is not there, goes, or comes."""

    async def first(self, point: Point, **values: object) -> Row | None:
        """The first row, or None. Errors: UnavailableError when the database can't be reached."""
        ...

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        """All rows; the statement itself must be bounded. Errors: as `first`."""
        ...

    async def close(self) -> None: ...


class SqlitePoints:
    """Point reads on one read-only connection of this process, used from the event loop's thread only."""

    unreachable: tuple[type[BaseException], ...] = (OSError,)

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._connection = sqlite3.connect(
            f"file:{path}?mode=rw", uri=True, isolation_level=None, cached_statements=256
        )
        self._connection.execute("PRAGMA query_only = 1")
        self._connection.execute("PRAGMA busy_timeout = 5000")

    async def first(self, point: Point, **values: object) -> Row | None:
        self.count += 1
        prepared = point.on_sqlite
        cursor = self._connection.execute(prepared.sql, prepared.given(values))
        row: Row | None = cursor.fetchone()
        cursor.close()  # an open cursor would hold its snapshot, and later reads would not see newer commits
        return row

    async def rows(self, point: Point, **values: object) -> Sequence[Row]:
        self.count += 1
        prepared = point.on_sqlite
        return self._connection.execute(prepared.sql, prepared.given(values)).fetchall()

    async def close(self) -> None:
        self._connection.close()
