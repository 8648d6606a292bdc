"""What an installation needs once: authority, token-signing key, the admin. Each in one unit of work; killed in between, the
next start makes the rest. Two replicas may start at once on one database: a lease lets one of them do it.
"""

import asyncio
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lading.accounts import store as accounts
from lading.accounts.accounts import Account
from lading.core.clock import Clock
from lading.core.errors import UnavailableError
from lading.core.folders import DataFolder, write_durably
from lading.database import Database
from lading.database.locks import release, try_lease
from lading.events.log import SYSTEM, Event, EventType, ObjectType, record
from lading.keys.authority import Authority
from lading.keys.server_certificate import AUTHORITY
from lading.keys.store import Secret, SecretStore
from lading.keys.token_signing import KIND as TOKEN_SIGNING
from lading.keys.token_signing import make_signing_key

ADMIN = "admin"
_LEASE = timedelta(minutes=1)
_ATTEMPTS = 240


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What was made by this start. `password` is set when it was made up, to be shown once."""

    admin_made: bool = False
    password: str | None = field(default=None, repr=False)


async def first_start(
    database: Database,
    store: SecretStore,
    *,
    name: str,
    password: str | None,
    hash_password: Callable[[str], str],
    clock: Clock,
) -> FirstStart:
    """The installation has all it needs; nothing that is there is changed. `password` is the admin's, None to make one up.

    Errors: WrongMasterKeyError when the database belongs to another master key; UnavailableError.
    """
    holder = secrets.token_hex(6)
    for _ in range(_ATTEMPTS):
        async with database.write() as unit:
            mine = await try_lease(unit, "first-start", holder, clock.now(), _LEASE)
        if mine:
            break
        await asyncio.sleep(0.25)
    else:
        raise UnavailableError("another replica has been making this installation for long; see its log")
    try:
        await _make_keys(database, store, name, clock)
        return await _make_admin(database, password, hash_password, clock)
    finally:
        async with database.write() as unit:
            await release(unit, "first-start", holder)


async def _make_keys(database: Database, store: SecretStore, name: str, clock: Clock) -> None:
    async with database.read() as connection:
        authorities = await store.list_active(connection, AUTHORITY)
        signing = await store.list_active(connection, TOKEN_SIGNING)
    now = clock.now()
    if not authorities:
        pair = Authority.create(name, now).pair
        serial = f"{pair.leaf.serial_number:x}"
        async with database.write() as unit:
            await store.add(
                unit, Secret(AUTHORITY, serial, pair.key.encode(), pair.certificate, now, pair.leaf.not_valid_after_utc)
            )
    if not signing:
        await make_signing_key(database, store, now, overlap=timedelta(0))


async def _make_admin(
    database: Database, password: str | None, hash_password: Callable[[str], str], clock: Clock
) -> FirstStart:
    async with database.read() as connection:
        if await accounts.count_accounts(connection):
            return FirstStart()
    made_up = None if password is not None else secrets.token_urlsafe(15)
    hashed = await asyncio.to_thread(hash_password, password if password is not None else made_up or "")
    now = clock.now()
    admin = Account(
        str(uuid.uuid4()),
        ADMIN,
        "",
        is_organization=False,
        is_admin=True,
        is_active=True,
        password_hash=hashed,
        epoch=0,
        created_at=now,
    )
    async with database.write() as unit:
        await accounts.add_account(unit, admin, now)
        await record(unit, now, Event(EventType.CREATE, SYSTEM, ObjectType.ACCOUNT, admin.id, object_name=ADMIN))
    return FirstStart(admin_made=True, password=made_up)


def replica_id(folder: DataFolder) -> str:
    """This replica's id: 12 hex digits, kept in the data folder. Blocks."""
    path: Path = folder.root / "replica.id"
    if not path.exists():
        write_durably(path, secrets.token_hex(6).encode())
    return path.read_text().strip()
