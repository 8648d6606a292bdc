"""Databases for tests: SQLite in a temporary file, and a PostgreSQL that the tests start and stop themselves.

`database` is open and has the newest schema, `upgraded_url` is its address before it is opened, `database_url` the address
of an empty one; each once of each kind. A test for one kind only: `@pytest.mark.parametrize("database_kind", ["sqlite"],
indirect=True)`.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lading.app.tables import ROOM_TABLES
from lading.database import Database
from lading.database.migrations import upgrade
from lading.edge.lifeline import die_with_parent

assert ROOM_TABLES  # imported, so that every room's tables are known

_READY_SECONDS = 60
_TEMPLATE = "lading_template"


def postgresql_programs() -> Path | None:
    """The folder of PostgreSQL's server programs, the newest where there are several."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if versions:
        return versions[-1].parent
    found = shutil.which("postgres")
    return None if found is None else Path(found).resolve().parent


class PostgresqlServer:
    """A PostgreSQL of our own, on a socket in a temporary folder, without fsync. It dies with the tests."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lading-pg-", dir="/tmp"))
        self._programs = programs
        self._identity: dict[str, Any] = {}
        self._count = 0
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = ("listen_addresses=", f"unix_socket_directories={self.folder}", "fsync=off", "max_connections=200")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [programs / "postgres", "-D", data, *(word for option in options for word in ("-c", option))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                preexec_fn=_quit_with_parent,  # noqa: PLW1509 — no other thread runs when the first test asks for it
                **self._identity,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if subprocess.call([self._programs / "pg_isready", "-q", "-h", self.folder]) == 0:
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError("PostgreSQL did not start")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        ended = subprocess.run(command, check=False, capture_output=True, cwd="/", **self._identity)
        if ended.returncode:
            raise RuntimeError(f"{program} failed: {ended.stderr.decode(errors='replace')}")

    def url(self, name: str) -> str:
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}"

    def create(self, *, template: str = "template0", name: str | None = None) -> str:
        """The URL of a new database."""
        self._count += 1
        name = name or f"test{self._count}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", "-T", template, name)
        return self.url(name)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


def _quit_with_parent() -> None:
    die_with_parent(number=signal.SIGQUIT)


async def _upgrade(url: str) -> None:
    database = await Database.open(url)
    await upgrade(database)
    await database.close()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """The session's PostgreSQL."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresqlServer(programs)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgresqlServer) -> str:
    """The name of a database with the newest schema, to be copied."""
    asyncio.run(_upgrade(postgresql.create(name=_TEMPLATE)))
    return _TEMPLATE


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "lading.db"
    asyncio.run(_upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    kind: str = request.param
    return kind


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """An empty database, once of each kind."""
    if database_kind == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'lading.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.create()


@pytest.fixture
def upgraded_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """A database with the newest schema, once of each kind."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "lading.db")
        return f"sqlite+aiosqlite:///{tmp_path / 'lading.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.create(template=request.getfixturevalue("postgresql_template"))


@pytest.fixture
async def database(upgraded_url: str) -> AsyncIterator[Database]:
    """A database with the newest schema, open, once of each kind."""
    opened = await Database.open(upgraded_url)
    yield opened
    await opened.close()
