"""The accounts' SQL: rows to values and back."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.accounts import AccessToken, Account
from lading.accounts.tables import access_tokens, accounts, member_syncs, memberships, sign_in_settings, user_settings
from lading.core.clock import from_microseconds
from lading.database import Point
from lading.database.functions import holds, holds_word, like_pattern

_UUID = 36  # characters
ACCOUNT_COLUMNS = (
    accounts.c.id,
    accounts.c.name,
    accounts.c.full_name,
    accounts.c.is_organization,
    accounts.c.is_admin,
    accounts.c.is_active,
    accounts.c.password_hash,
    accounts.c.credential_epoch,
    accounts.c.created_at,
    accounts.c.robot_of,
    accounts.c.directory,
    accounts.c.directory_id,
)
_TOKEN = (
    access_tokens.c.id,
    access_tokens.c.account_id,
    access_tokens.c.label,
    access_tokens.c.is_active,
    access_tokens.c.generated_by,
    access_tokens.c.creator_ua,
    access_tokens.c.created_at,
    access_tokens.c.last_used_at,
    access_tokens.c.expires_at,
    access_tokens.c.narrowing,
)

ACCOUNT_BY_NAME = Point(select(*ACCOUNT_COLUMNS).where(accounts.c.name == bindparam("name")))
ACCOUNT_BY_ID = Point(select(*ACCOUNT_COLUMNS).where(accounts.c.id == bindparam("id")))
TOKEN_AND_ACCOUNT = Point(
    select(*ACCOUNT_COLUMNS, *_TOKEN)
    .join(accounts, accounts.c.id == access_tokens.c.account_id)
    .where(access_tokens.c.id == bindparam("id"))
)


def account_of(row: Sequence[Any]) -> Account:
    """The account in the first columns of a point's row."""
    identity, name, full_name, is_organization, is_admin, is_active, password_hash, epoch, created, *more = row[:12]
    return Account(
        identity,
        name,
        full_name,
        bool(is_organization),
        bool(is_admin),
        bool(is_active),
        password_hash,
        epoch,
        from_microseconds(created),
        *more,
    )


def token_of(row: Sequence[Any]) -> AccessToken:
    """The token in the last columns of TOKEN_AND_ACCOUNT's row."""
    identity, account, label, is_active, generated_by, creator, created, used, expires, narrowing = row[12:22]
    return AccessToken(
        identity,
        account,
        label,
        bool(is_active),
        generated_by,
        creator,
        from_microseconds(created),
        None if used is None else from_microseconds(used),
        None if expires is None else from_microseconds(expires),
        narrowing,
    )


def _account(row: Any) -> Account | None:
    return None if row is None else Account(*row)


async def find_account(connection: AsyncConnection, name: str) -> Account | None:
    return _account((await connection.execute(select(*ACCOUNT_COLUMNS).where(accounts.c.name == name))).one_or_none())


async def find_account_by_id(connection: AsyncConnection, account_id: str) -> Account | None:
    return _account(
        (await connection.execute(select(*ACCOUNT_COLUMNS).where(accounts.c.id == account_id))).one_or_none()
    )


async def find_account_or_id(connection: AsyncConnection, name: str) -> Account | None:
    """The account of that name, or of that id, which may be given as `id:…`."""
    found = await find_account(connection, name)
    if found is not None or not (name.startswith("id:") or len(name) == _UUID):
        return found
    return await find_account_by_id(connection, name.removeprefix("id:"))


async def robots_of(connection: AsyncConnection, account_id: str) -> list[Account]:
    """The robots of the account's namespace, in order of their names."""
    wanted = select(*ACCOUNT_COLUMNS).where(accounts.c.robot_of == account_id).order_by(accounts.c.name)
    return [Account(*row) for row in await connection.execute(wanted)]


async def delete_account(unit: AsyncConnection, account_id: str) -> None:
    """The account is gone, with all rows that refer to it."""
    await unit.execute(delete(accounts).where(accounts.c.id == account_id))


async def add_account(unit: AsyncConnection, account: Account, now: datetime, *, on_demand: bool = False) -> None:
    await unit.execute(
        insert(accounts).values(
            id=account.id,
            name=account.name,
            full_name=account.full_name,
            is_organization=account.is_organization,
            is_admin=account.is_admin,
            is_active=account.is_active,
            password_hash=account.password_hash,
            credential_epoch=account.epoch,
            created_at=account.created_at,
            updated_at=now,
            robot_of=account.robot_of,
            directory=account.directory,
            directory_id=account.directory_id,
            on_demand=on_demand,
        )
    )


async def change_account(unit: AsyncConnection, account_id: str, now: datetime, **values: object) -> None:
    """Sets columns of the account. Keys are column names."""
    await unit.execute(update(accounts).where(accounts.c.id == account_id).values(updated_at=now, **values))


async def replace_password_hash(unit: AsyncConnection, account_id: str, known: str, fresh: str) -> None:
    """The same password, hashed by newer parameters; nothing happens when it was changed in between."""
    await unit.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.password_hash == known)
        .values(password_hash=fresh)
    )


async def set_password_hash(unit: AsyncConnection, account_id: str, password_hash: str, now: datetime) -> None:
    """The password is another: all that was issued on the old one dies with the epoch."""
    await unit.execute(
        update(accounts)
        .where(accounts.c.id == account_id)
        .values(password_hash=password_hash, credential_epoch=accounts.c.credential_epoch + 1, updated_at=now)
    )


_IS_USER = ~accounts.c.is_organization & accounts.c.robot_of.is_(None)
FILTERS: Mapping[str, ColumnElement[bool]] = {
    "all": accounts.c.robot_of.is_(None),
    "users": _IS_USER,
    "orgs": accounts.c.is_organization,
    "admins": accounts.c.is_admin,
    "non-admins": ~accounts.c.is_admin & _IS_USER,
    "active-users": accounts.c.is_active & _IS_USER,
    "inactive-users": ~accounts.c.is_active & _IS_USER,
}
"""DTR's filters of the accounts list. Source: DTR reference 1.6."""


def _wanted(kind: str, contains: str) -> ColumnElement[bool]:
    where = FILTERS[kind]
    if contains:
        pattern = like_pattern(contains)
        # Names are in lower case: telling cases apart is the cheaper comparison.
        named = holds(accounts.c.name, like_pattern(contains.lower()))
        where = where & or_(named, holds_word(accounts.c.full_name, pattern))
    return where


async def list_accounts(
    connection: AsyncConnection,
    *,
    start: str,
    limit: int,
    kind: str = "all",
    contains: str = "",
    by_full_name: bool = False,
    down: bool = False,
    near: str | None = None,
) -> list[Account]:
    """Accounts from the one of the name `start` on, by name or by full name. `kind` is one of FILTERS.

    `near` leaves only that account, its organizations, and their members.
    """
    order = (accounts.c.full_name, accounts.c.name) if by_full_name else (accounts.c.name,)
    wanted = select(*ACCOUNT_COLUMNS).where(_wanted(kind, contains))
    wanted = wanted.order_by(*((column.desc() for column in order) if down else order))
    if near is not None:
        mine = select(memberships.c.organization_id).where(memberships.c.account_id == near)
        theirs = select(memberships.c.account_id).where(memberships.c.organization_id.in_(mine))
        wanted = wanted.where(or_(accounts.c.id == near, accounts.c.id.in_(mine), accounts.c.id.in_(theirs)))
    if start:
        first = await connection.scalar(select(accounts.c.full_name).where(accounts.c.name == start)) or ""
        asked = tuple_(*order), tuple_(first, start) if by_full_name else tuple_(start)
        wanted = wanted.where(asked[0] <= asked[1] if down else asked[0] >= asked[1])
    return [Account(*row) for row in await connection.execute(wanted.limit(limit))]


async def find_content_cache(connection: AsyncConnection, account_id: str) -> str:
    found = select(user_settings.c.content_cache_id).where(user_settings.c.account_id == account_id)
    return await connection.scalar(found) or ""


async def put_content_cache(unit: AsyncConnection, account_id: str, content_cache: str) -> None:
    await unit.execute(delete(user_settings).where(user_settings.c.account_id == account_id))
    await unit.execute(insert(user_settings).values(account_id=account_id, content_cache_id=content_cache))


async def count_accounts(connection: AsyncConnection, *, kind: str = "all", contains: str = "") -> int:
    counted = select(func.count()).select_from(accounts).where(_wanted(kind, contains))
    return int(await connection.scalar(counted) or 0)


async def is_last_admin(connection: AsyncConnection, account_id: str) -> bool:
    """True when no other account could administer this installation."""
    others = select(accounts.c.id).where(
        accounts.c.is_admin, accounts.c.is_active, ~accounts.c.is_organization, accounts.c.id != account_id
    )
    return await connection.scalar(others.limit(1)) is None


async def add_token(unit: AsyncConnection, token: AccessToken) -> None:
    await unit.execute(
        insert(access_tokens).values(
            id=token.id,
            account_id=token.account_id,
            label=token.label,
            is_active=token.is_active,
            generated_by=token.generated_by,
            creator_ua=token.creator_ua,
            created_at=token.created_at,
            last_used_at=token.last_used_at,
            expires_at=token.expires_at,
            narrowing=token.narrowing,
        )
    )


def _tokens(account_id: str | None) -> Select[Any]:
    wanted = select(*_TOKEN)
    return wanted if account_id is None else wanted.where(access_tokens.c.account_id == account_id)


async def find_token(connection: AsyncConnection, token_id: str) -> AccessToken | None:
    row = (await connection.execute(_tokens(None).where(access_tokens.c.id == token_id))).one_or_none()
    return None if row is None else AccessToken(*row)


async def list_tokens(
    connection: AsyncConnection, account_id: str | None, *, start: str, limit: int
) -> list[AccessToken]:
    """Tokens of an account (None: of all) from the id `start` on, in order of their ids."""
    wanted = _tokens(account_id).where(access_tokens.c.id >= start).order_by(access_tokens.c.id).limit(limit)
    return [AccessToken(*row) for row in await connection.execute(wanted)]


async def count_tokens(connection: AsyncConnection, account_id: str | None) -> int:
    counted = select(func.count()).select_from(_tokens(account_id).subquery())
    return int(await connection.scalar(counted) or 0)


async def change_token(unit: AsyncConnection, token_id: str, **values: object) -> None:
    await unit.execute(update(access_tokens).where(access_tokens.c.id == token_id).values(**values))


async def delete_token(unit: AsyncConnection, token_id: str) -> bool:
    gone = await unit.execute(delete(access_tokens).where(access_tokens.c.id == token_id))
    return bool(gone.rowcount)


async def delete_tokens(
    unit: AsyncConnection, account_id: str | None, *, used_before: datetime | None, generated_by: str
) -> int:
    """How many tokens went: those of the account (None: of all) made so and not used since."""
    wanted = delete(access_tokens).where(access_tokens.c.generated_by == generated_by)
    if account_id is not None:
        wanted = wanted.where(access_tokens.c.account_id == account_id)
    if used_before is not None:
        wanted = wanted.where(func.coalesce(access_tokens.c.last_used_at, access_tokens.c.created_at) < used_before)
    return int((await unit.execute(wanted)).rowcount)


async def is_synced(connection: AsyncConnection, target: str) -> bool:
    """True when a directory, or a provider's group, says who is in the target, as member_syncs names it."""
    found = await connection.scalar(select(member_syncs.c.options).where(member_syncs.c.target == target))
    return found is not None and _is_on(found)


async def has_syncs(connection: AsyncConnection, organization_id: str) -> bool:
    """True when a directory, or a provider's group, says who is in some team of the organization, or owns it."""
    found = select(member_syncs.c.options).where(member_syncs.c.organization_id == organization_id)
    return any(_is_on(options) for options in await connection.scalars(found))


def _is_on(options: str) -> bool:
    document = json.loads(options)
    return bool(document.get("enableSync") or document.get("groupLink", {}).get("enableLink"))


async def put_member_sync(
    unit: AsyncConnection, target: str, organization_id: str | None, options: str, now: datetime
) -> None:
    await delete_member_sync(unit, target)
    row = {"target": target, "organization_id": organization_id, "options": options, "updated_at": now}
    await unit.execute(insert(member_syncs).values(**row))


async def put_settings(unit: AsyncConnection, name: str, value: str, now: datetime) -> None:
    """The sign-in settings of that name are these."""
    await unit.execute(delete(sign_in_settings).where(sign_in_settings.c.name == name))
    await unit.execute(insert(sign_in_settings).values(name=name, value=value, updated_at=now))


async def delete_member_sync(unit: AsyncConnection, target: str) -> None:
    await unit.execute(delete(member_syncs).where(member_syncs.c.target == target))
