"""The two engines of a database, reads and writes, and the unit of work.

SQLite: WAL, `synchronous = FULL`. Writers take an asyncio lock, then `flock` on `write.lock`, then BEGIN IMMEDIATE: with
SQLite's own busy handler one of four writing processes starves the others (docs/decisions/0002). PostgreSQL: its own.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiosqlite
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry

from lading.core.errors import UnavailableError
from lading.database.points import NO_ANSWER, Points, SqlitePoints

_READERS = 4


class Database:
    """One database, open. Make it with `open`, end it with `close`."""

    def __init__(
        self, *, url: str, reader: AsyncEngine, writer: AsyncEngine, points: Points, lock: "_FileLock | None"
    ) -> None:
        self.url = url
        self.points = points
        self._reader = reader
        self._writer = writer
        self._lock = lock
        self._held: AsyncConnection | None = None

    @property
    def is_sqlite(self) -> bool:
        return self._lock is not None

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 5) -> Self:
        """The database at `url`, ready for questions; its schema is `migrations.upgrade`'s matter.

        Shape: `sqlite+aiosqlite:////absolute/path` or `postgresql+asyncpg://user:password@host/name` (with `?host=/folder`
        for a socket).
        Errors: UnavailableError when it does not answer.
        """
        return await (cls._open_sqlite(url) if url.startswith("sqlite") else cls._open_postgresql(url, pool_size))

    @classmethod
    async def _open_sqlite(cls, url: str) -> Self:
        path = Path(make_url(url).database or "")
        reader = create_async_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=AsyncAdaptedQueuePool, pool_size=_READERS, max_overflow=4
        )
        writer = create_async_engine(
            url,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=1,
            max_overflow=0,
            connect_args={"async_creator_fn": _inline_connection},
        )
        for engine in (reader, writer):
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(writer.sync_engine, "begin", _begin_immediate)
        event.listen(writer.sync_engine, "connect", _manual_begin)
        async with (
            reader.connect() as connection
        ):  # makes the file, and turns WAL on before the read-only connection opens
            await connection.execute(text("SELECT 1"))
        path.chmod(0o600)
        return cls(
            url=url,
            reader=reader,
            writer=writer,
            points=SqlitePoints(path),
            lock=_FileLock(path.with_name("write.lock")),
        )

    @classmethod
    async def _open_postgresql(cls, url: str, pool_size: int) -> Self:
        # Imported where it is used: it takes long, and most installations have none.
        from lading.database.postgresql import PostgresqlPoints  # noqa: PLC0415 — see above

        options = {"pool_size": pool_size, "max_overflow": pool_size, "pool_pre_ping": True, "pool_recycle": 1800}
        reader = create_async_engine(url, isolation_level="AUTOCOMMIT", **options)
        writer = create_async_engine(url, **options)
        plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        points = await PostgresqlPoints.open(plain, size=pool_size)
        return cls(url=url, reader=reader, writer=writer, points=points, lock=None)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for questions, each its own transaction. Errors: UnavailableError."""
        with _translated(self.points.unreachable):
            async with self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
        """A unit of work: one transaction, committed at the end of the block, or nothing of it.

        `durable=False` is for what may be lost when the machine (not the process) dies: the commit does not wait for
        the disk. Errors: UnavailableError when the database can't be reached or stays locked.
        """
        with _translated(self.points.unreachable):
            if self._lock is None:
                async with self._writer.begin() as connection:
                    if not durable:
                        await connection.execute(text("SET LOCAL synchronous_commit = off"))
                    yield connection
                return
            async with self._lock, self._held_writer() as connection:
                await connection.execution_options(durable=durable)
                async with connection.begin():
                    yield connection

    @asynccontextmanager
    async def _held_writer(self) -> AsyncIterator[AsyncConnection]:
        """SQLite's one writing connection, kept from one unit of work to the next; after an error a new one is taken."""
        connection, self._held = self._held or await self._writer.connect(), None
        try:
            yield connection
        except BaseException:
            await asyncio.shield(asyncio.create_task(connection.close()))
            raise
        self._held = connection

    async def close(self) -> None:
        """Gives all connections back."""
        await self.points.close()
        if self._held is not None:
            await self._held.close()
        await self._reader.dispose()
        await self._writer.dispose()
        if self._lock is not None:
            self._lock.close()


class _translated:  # noqa: N801 — reads as the statement it is
    """Turns a database that can't be reached into UnavailableError; all else passes."""

    def __init__(self, unreachable: tuple[type[BaseException], ...]) -> None:
        self._unreachable = unreachable

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise UnavailableError("the database can't be written: its disk is full; make room there") from error
        if isinstance(error, OperationalError | InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        ):
            raise UnavailableError(NO_ANSWER) from error
        if isinstance(error, self._unreachable):
            raise UnavailableError(NO_ANSWER) from error


def _prepare_sqlite(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _manual_begin(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # sqlite3 begins by itself only before DML, leaving an earlier SELECT outside the transaction.
    connection.isolation_level = None


class _InlineConnection(aiosqlite.Connection):
    """A connection that runs its statements in the event loop, and only commits, which wait for the disk, in its thread.

    The writer holds the write lock, so a statement waits for nothing but memory; handing each over to a thread and back
    (four times a statement) cost eight times what it does. Measured in docs/decisions/0003.
    """

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None or fn in (self._connection.commit, self._connection.close):
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        return fn(*args, **kwargs)


async def _inline_connection(database: str, **options: Any) -> _InlineConnection:
    options["check_same_thread"] = False  # its thread and the loop's take turns, never both at once
    connection = _InlineConnection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True  # noqa: SLF001 — as SQLAlchemy does with connections it makes itself
    await connection
    return connection


def _begin_immediate(connection: Connection) -> None:
    wanted = "FULL" if connection.get_execution_options().get("durable", True) else "NORMAL"
    # Only outside a transaction may this be changed; the one connection is used for both.
    if connection.info.get("synchronous") != wanted:
        connection.exec_driver_sql(f"PRAGMA synchronous = {wanted}")
        connection.info["synchronous"] = wanted
    connection.exec_driver_sql("BEGIN IMMEDIATE")


class _FileLock:
    """First an asyncio lock, for this process; then `flock`, for the others. Fair enough, unlike SQLite's busy handler."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._here = asyncio.Lock()

    async def __aenter__(self) -> None:
        await self._here.acquire()
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await self._wait()
        except BaseException:
            self._here.release()
            raise

    async def _wait(self) -> None:
        taking = asyncio.ensure_future(asyncio.to_thread(fcntl.flock, self._file, fcntl.LOCK_EX))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The thread can't be stopped: what it takes is given back when it has it.
            taking.add_done_callback(lambda _: self._release())
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def _release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._here.release()

    def close(self) -> None:
        os.close(self._file)
