"""Databases for tests: SQLite in a temporary file, and a PostgreSQL that the tests start and stop themselves."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import lading.app
from lading.database import Database
from lading.database.migrations import upgrade

assert lading.app.ROOM_TABLES  # imported, so that every room's tables are known


def postgresql_bin() -> Path | None:
    """The folder of PostgreSQL's server programs."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


class PostgresqlServer:
    """A PostgreSQL of our own, on a socket in a temporary folder, without fsync."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lading-pg-", dir="/tmp"))
        self._programs = programs
        self._user = None
        if os.geteuid() == 0:
            self._user = pwd.getpwnam("postgres")
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._count = 0
        self._run(
            "initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"
        )
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-o", options, "-l", log, "-w", "start")

    def _run(self, program: str, *arguments: str) -> None:
        identity = (
            {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        )
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **identity,  # type: ignore[call-overload]  # all three or none
        )

    def create(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        name = f"test{self._count}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return f"postgresql+asyncpg://postgres@/{name}?host={self.folder}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    programs = postgresql_bin()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgresqlServer(programs)
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'lading.db'}"
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    return server.create()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with the newest schema, once of each kind."""
    opened = await Database.open(database_url)
    await upgrade(opened)
    yield opened
    await opened.close()
