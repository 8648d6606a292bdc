"""A sync with many users from real directories: prints how long it takes and how much memory, and judges nothing.

OpenLDAP with 50,000 users (first sync, and a second one that changes nothing), on SQLite and on PostgreSQL; a Samba domain with
2,000.

    make bench-ldap                         everything
    .venv/bin/python dev/bench_ldap.py --users 5000 --only openldap
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from lading.accounts.directory_settings import DirectorySettings
from lading.accounts.directory_sync import DirectorySync
from lading.app.boot import load_master_key
from lading.app.tables import ROOM_TABLES
from lading.core.clock import SystemClock
from lading.core.folders import DataFolder
from lading.database import Database
from lading.database.migrations import upgrade
from lading.events.log import SYSTEM
from lading.keys.store import SecretStore
from support import openldap, samba
from support.databases import PostgresqlServer, postgresql_programs


class Told:
    """A job's context that keeps the summary."""

    summary = ""

    async def log(self, *lines: str) -> None:
        self.summary = next((line for line in lines if "users found" in line), self.summary)

    async def progress(self, done: int, total: int) -> None: ...

    def check(self) -> None: ...


async def measure(url: str, folder: DataFolder, document: dict[str, Any]) -> None:
    database, clock = await Database.open(url), SystemClock()
    await upgrade(database)
    settings = DirectorySettings(database, clock, SecretStore(load_master_key(folder, may_create=True)))
    await settings.put_ldap(document, by=SYSTEM)
    await settings.put_backend("ldap", by=SYSTEM)
    sync = DirectorySync(database, clock, settings)
    for turn in ("first", "second"):
        told, began = Told(), time.perf_counter()
        await sync(None, told)  # type: ignore[arg-type]  # it reads no job
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"  {turn} sync: {time.perf_counter() - began:6.1f} s, {peak} MiB at most: {told.summary}", flush=True)
    await database.close()


def run(document: dict[str, Any], kinds: list[str]) -> None:
    programs = postgresql_programs()
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="lading-bench-") as root:
            folder = DataFolder(Path(root) / "data")
            folder.make()
            print(f" into {kind}:", flush=True)
            if kind == "sqlite":
                uvloop.run(measure(f"sqlite+aiosqlite:///{folder.database}", folder, document))
            elif programs is not None:
                server = PostgresqlServer(programs)
                try:
                    uvloop.run(measure(server.create(), folder, document))
                finally:
                    server.stop()


def of_openldap(users: int, kinds: list[str]) -> None:
    began = time.perf_counter()
    server = openldap.OpenLdap(openldap.person(f"user{number}", number) for number in range(users))
    print(f"OpenLDAP with {users:,} users (made in {time.perf_counter() - began:.0f} s)", flush=True)
    try:
        reader = {"readerDN": openldap.READER, "readerPassword": openldap.READER_PASSWORD}
        searches = [{"baseDN": openldap.PEOPLE, "usernameAttr": "uid"}]
        run({"serverURL": server.url, **reader, "jitUserProvisioning": False, "userSearchConfigs": searches}, kinds)
    finally:
        server.close()


def of_samba(users: int, kinds: list[str]) -> None:
    began = time.perf_counter()
    domain = samba.ActiveDirectory([samba.AdUser(f"user{number}") for number in range(users)], [])
    print(f"Active Directory (Samba) with {users:,} users (made in {time.perf_counter() - began:.0f} s)", flush=True)
    try:
        searches = [{"baseDN": samba.USERS, "usernameAttr": "sAMAccountName", "filter": "(givenName=*)"}]
        reader = {"readerDN": samba.ADMINISTRATOR, "readerPassword": samba.ADMIN_PASSWORD, "tlsSkipVerify": True}
        run({"serverURL": domain.url, **reader, "jitUserProvisioning": False, "userSearchConfigs": searches}, kinds)
    finally:
        domain.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=50_000, help="of OpenLDAP")
    parser.add_argument("--domain-users", type=int, default=2_000, help="of Active Directory")
    parser.add_argument("--only", choices=["openldap", "samba"])
    parser.add_argument("--into", choices=["sqlite", "postgresql"], action="append")
    arguments = parser.parse_args()
    assert ROOM_TABLES  # imported, and so in the schema
    kinds = arguments.into or ["sqlite", "postgresql"]
    if arguments.only != "samba":
        of_openldap(arguments.users, kinds)
    if arguments.only != "openldap":
        if samba.why_not():
            print(samba.why_not())
        else:
            of_samba(arguments.domain_users, kinds)


main()
