"""Accounts in large numbers, on SQLite and on PostgreSQL (when it is installed): prints how long the questions take.

100,000 users, 10,000 teams in 100 organizations, 100,000 repositories, 1,000,000 grants; one user in 500 teams. PostgreSQL
runs without fsync. It judges nothing.

    make bench-accounts                     everything
    .venv/bin/python dev/bench_accounts.py --divide 100 --only sqlite
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop
from sqlalchemy import Table, insert, text

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lading.access import Permission, Principal, Repository, Visibility, decide
from lading.accounts import store, tables
from lading.accounts.accounts import Proof
from lading.accounts.rights import Rights
from lading.accounts.scopes import parse_scopes
from lading.accounts.token_service import TokenService
from lading.app.boot import load_master_key
from lading.app.tables import ROOM_TABLES
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.core.names import RepositoryName
from lading.database import Database
from lading.database.migrations import upgrade
from lading.keys.store import SecretStore
from lading.keys.token_signing import TokenSigner, make_signing_key
from lading.registry import visible_store
from lading.registry.points import Asker, RegistryPoints
from lading.registry.repositories import RepositoryVisibility
from lading.registry.tables import repositories
from lading.web.paging import Paging
from support.databases import PostgresqlServer, postgresql_programs

BATCH = 20_000
ORGANIZATIONS, TEAMS_OF_MANY = 100, 500
OF_TEAMS = 0.9  # so many grants are given to teams, the others to users
NOW = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, object]


def user(number: int) -> str:
    return f"user{number:06}"


class Sizes:
    """How much of everything."""

    def __init__(self, divide: int) -> None:
        self.users, self.teams = 100_000 // divide, 10_000 // divide
        self.repositories, self.grants = 100_000 // divide, 1_000_000 // divide
        self.teams_of_many = min(TEAMS_OF_MANY, self.teams)

    def repository(self, number: int) -> str:
        return f"org{number % ORGANIZATIONS:03}/app{number:06}"


def account_rows(sizes: Sizes) -> Iterator[Row]:
    common: Row = {"is_admin": False, "is_active": True, "credential_epoch": 0, "created_at": NOW, "updated_at": NOW}
    for number in range(sizes.users):
        name = user(number)
        yield {"id": name, "name": name, "full_name": f"Full Name {number}", "is_organization": False, **common}
    for number in range(ORGANIZATIONS):
        name = f"org{number:03}"
        yield {"id": name, "name": name, "full_name": name, "is_organization": True, **common}


def team_rows(sizes: Sizes) -> Iterator[Row]:
    for number in range(sizes.teams):
        organization = f"org{number % ORGANIZATIONS:03}"
        moments: Row = {"created_at": NOW, "updated_at": NOW}
        yield {"id": f"team{number}", "organization_id": organization, "name": f"team{number}", **moments}


def member_rows(sizes: Sizes, dice: random.Random) -> Iterator[Row]:
    for number in range(sizes.teams):
        members = {user(dice.randrange(1, sizes.users)) for _ in range(20)}
        if number < sizes.teams_of_many:
            members.add(user(0))
        for member in sorted(members):
            told: Row = {"is_admin": False, "is_imported": False, "created_at": NOW}
            yield {"team_id": f"team{number}", "account_id": member, **told}


def repository_rows(sizes: Sizes) -> Iterator[Row]:
    for number in range(sizes.repositories):
        name = sizes.repository(number)
        visibility = Visibility.PUBLIC if number % 50 == 0 else Visibility.PRIVATE
        moments: Row = {"created_at": NOW, "updated_at": NOW}
        namespace = name.partition("/")[0]
        yield {"id": name, "full_name": name, "namespace": namespace, "visibility": visibility.value, **moments}


def grant_rows(sizes: Sizes, dice: random.Random) -> Iterator[Row]:
    seen = set[tuple[str, str]]()
    while len(seen) < sizes.grants:
        name = sizes.repository(dice.randrange(sizes.repositories))
        if dice.random() < OF_TEAMS:
            kind, subject = "team", f"team{dice.randrange(sizes.teams)}"
        else:
            kind, subject = "user", user(dice.randrange(1, sizes.users))
        if (name, subject) in seen:
            continue
        seen.add((name, subject))
        told: Row = {"namespace": name.partition("/")[0], "is_glob": False, "role": "read-write", "created_at": NOW}
        yield {"resource": name, "subject_kind": kind, "subject_id": subject, **told}


async def fill(database: Database, table: Table, rows: Iterable[Row]) -> None:
    left = iter(rows)
    while batch := list(islice(left, BATCH)):
        async with database.write(durable=False) as unit:
            await unit.execute(insert(table), batch)


async def make(database: Database, sizes: Sizes) -> None:
    dice = random.Random(7)
    await fill(database, tables.accounts, account_rows(sizes))
    await fill(database, tables.teams, team_rows(sizes))
    await fill(database, tables.team_members, member_rows(sizes, dice))
    await fill(database, repositories, repository_rows(sizes))
    await fill(database, tables.grants, grant_rows(sizes, dice))
    async with database.write() as unit:
        await unit.execute(text("ANALYZE"))
    if not database.is_sqlite:  # its autovacuum does so within minutes
        async with database.read() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("VACUUM"))


async def time_of(what: str, ask: Callable[[], Awaitable[Any]], times: int) -> None:
    await ask()
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    median, slowest = statistics.median(took), took[min(len(took) - 1, len(took) * 99 // 100)]
    print(f"  {what:64} median {median:8.2f} ms   p99 {slowest:8.2f} ms", flush=True)


async def measure(url: str, folder: DataFolder, sizes: Sizes) -> None:
    database, clock = await Database.open(url), SystemClock()
    await upgrade(database)
    began = time.perf_counter()
    await make(database, sizes)
    print(f"  the world is made in {time.perf_counter() - began:.0f} s", flush=True)
    dice = random.Random(11)
    points, rights = RegistryPoints(database.points), Rights(database.points)

    async def decided() -> None:
        name = RepositoryName(sizes.repository(dice.randrange(sizes.repositories)))
        asked = await points.repository(Asker(user(dice.randrange(50))), name)
        if asked.principal is not None:
            decide(asked.principal, Permission.PULL, asked.resource)

    async def decided_for_many() -> None:
        name = RepositoryName(sizes.repository(dice.randrange(sizes.repositories)))
        holder = await rights.about(Principal(user(0), user(0)), name.namespace, name.name)
        decide(holder, Permission.PUSH, Repository(name.namespace, name.name, Visibility.PRIVATE))

    secrets = SecretStore(load_master_key(folder, may_create=True))
    await make_signing_key(database, secrets, clock.now(), overlap=timedelta())
    signer = await TokenSigner.load(database, secrets)
    service = TokenService(
        RepositoryVisibility(database), rights, signer, clock, "bench", timedelta(minutes=5), lambda *_: None
    )
    async with database.read() as connection:
        many = await store.find_account(connection, user(0))
    if many is None:
        sys.exit("wrong: no user")

    async def issued() -> None:
        name = sizes.repository(dice.randrange(sizes.repositories))
        await service.issue(Proof(many), parse_scopes([f"repository:{name}:pull,push"], []), anonymous_access=True)

    def listed(name: str, start: str) -> Callable[[], Awaitable[Any]]:
        paging = Paging(10, start, count=False)
        return lambda: visible_store.page_of_visible(
            database, Principal(name, name), None, paging, anonymous_access=True
        )

    def searched(name: str, word: str) -> Callable[[], Awaitable[Any]]:
        paging = Paging(25, "", count=False)
        return lambda: visible_store.page_of_visible(
            database, Principal(name, name), None, paging, anonymous_access=True, contains=word
        )

    await time_of("decide, with its look-ups, of users in some teams", decided, 2000)
    await time_of(f"decide, with its look-ups, of a user in {sizes.teams_of_many} teams", decided_for_many, 2000)
    await time_of("a token, beside the password's hash", issued, 1000)
    await time_of(f"first page of repositories of a user in {sizes.teams_of_many} teams", listed(user(0), ""), 100)
    await time_of("a page in the middle, of the same", listed(user(0), "org050/app050000"), 100)
    await time_of("first page of repositories of a user in few teams", listed(user(1), ""), 100)
    await time_of("first page of a user without any", listed("nobody", ""), 100)
    await time_of("name search, of a word in one name", searched(user(0), "app09876"), 100)
    await time_of("name search, of a word in all names", searched(user(1), "app"), 100)
    await time_of("name search, of a word in no name", searched(user(1), "zzz"), 100)
    async with database.read() as connection:

        def found(word: str) -> Awaitable[Any]:
            return store.list_accounts(connection, start="", limit=26, contains=word)

        await time_of("account search, of a word in no name", lambda: found("zzz"), 50)
        await time_of("account search, of a word in one name", lambda: found("user09876"), 50)
    await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--divide", type=int, default=1, help="so many times less of everything")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    assert ROOM_TABLES  # imported, and so in the schema
    programs = postgresql_programs()
    sizes = Sizes(arguments.divide)
    for kind in ("sqlite", "postgresql") if arguments.only is None else (arguments.only,):
        if kind == "postgresql" and programs is None:
            print("postgresql: not installed: apt-get install postgresql")
            continue
        print(
            f"{kind} on {os.cpu_count()} cores: {sizes.users:,} users, {sizes.teams:,} teams, {sizes.repositories:,} "
            f"repositories, {sizes.grants:,} grants",
            flush=True,
        )
        with tempfile.TemporaryDirectory(prefix="lading-accounts-") as root:
            folder = DataFolder(Path(root) / "data")
            folder.make()
            if kind == "sqlite" or programs is None:
                uvloop.run(measure(f"sqlite+aiosqlite:///{folder.database}", folder, sizes))
                continue
            server = PostgresqlServer(programs)
            try:
                uvloop.run(measure(server.create(), folder, sizes))
            finally:
                server.stop()


main()
