"""The SQL of accounts' public keys."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.store import ACCOUNT_COLUMNS
from lading.accounts.tables import accounts, public_keys
from lading.database import Point

_HOLDERS_LIMIT = 16


@dataclass(frozen=True, slots=True)
class KeyCertificate:
    """A certificate of a key, PEM."""

    label: str
    pem: str


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A public key of an account. `id` is the SHA-256 of its DER SubjectPublicKeyInfo, in hex."""

    id: str
    account_id: str
    pem: str
    label: str
    certificates: tuple[KeyCertificate, ...]
    created_at: datetime


ACCOUNTS_BY_KEY = Point(
    select(*ACCOUNT_COLUMNS)
    .join(public_keys, public_keys.c.account_id == accounts.c.id)
    .where(public_keys.c.id == bindparam("key"))
    .order_by(public_keys.c.created_at, accounts.c.name)
    .limit(_HOLDERS_LIMIT)
)
"""Who has registered the key, the first one first."""

_COLUMNS = (
    public_keys.c.id,
    public_keys.c.account_id,
    public_keys.c.public_key,
    public_keys.c.label,
    public_keys.c.certificates,
    public_keys.c.created_at,
)


def _key_of(row: Sequence[Any]) -> RegisteredKey:
    identity, account_id, pem, label, certificates, created_at = row
    listed = tuple(KeyCertificate(item["label"], item["cert"]) for item in json.loads(certificates))
    return RegisteredKey(identity, account_id, pem, label, listed, created_at)


async def add_key(unit: AsyncConnection, key: RegisteredKey) -> None:
    """Errors: IntegrityError when the account has it already, or is gone."""
    await unit.execute(
        insert(public_keys).values(
            id=key.id,
            account_id=key.account_id,
            public_key=key.pem,
            label=key.label,
            certificates=json.dumps([{"label": item.label, "cert": item.pem} for item in key.certificates]),
            created_at=key.created_at,
        )
    )


async def find_key(connection: AsyncConnection, account_id: str, key_id: str) -> RegisteredKey | None:
    row = (await connection.execute(select(*_COLUMNS).where(_is(account_id, key_id)))).one_or_none()
    return None if row is None else _key_of(row)


async def list_keys(connection: AsyncConnection, account_id: str, *, start: str, limit: int) -> list[RegisteredKey]:
    """The account's keys from the id `start` on, in order of ids."""
    wanted = (
        select(*_COLUMNS)
        .where(public_keys.c.account_id == account_id, public_keys.c.id >= start)
        .order_by(public_keys.c.id)
        .limit(limit)
    )
    return [_key_of(row) for row in await connection.execute(wanted)]


async def count_keys(connection: AsyncConnection, account_id: str) -> int:
    counted = select(func.count()).select_from(public_keys).where(public_keys.c.account_id == account_id)
    return int((await connection.execute(counted)).scalar_one())


async def is_held_by_another(connection: AsyncConnection, account_id: str, key_id: str) -> bool:
    """True when some other account has registered the key."""
    others = select(public_keys.c.id).where(public_keys.c.id == key_id, public_keys.c.account_id != account_id).limit(1)
    return (await connection.execute(others)).one_or_none() is not None


async def change_label(unit: AsyncConnection, account_id: str, key_id: str, label: str) -> bool:
    """True when there is such a key."""
    changed = await unit.execute(update(public_keys).where(_is(account_id, key_id)).values(label=label))
    return bool(changed.rowcount)


async def delete_key(unit: AsyncConnection, account_id: str, key_id: str) -> bool:
    """True when there was such a key."""
    gone = await unit.execute(delete(public_keys).where(_is(account_id, key_id)))
    return bool(gone.rowcount)


def _is(account_id: str, key_id: str) -> Any:
    return and_(public_keys.c.account_id == account_id, public_keys.c.id == key_id)
