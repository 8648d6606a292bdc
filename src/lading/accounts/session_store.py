"""The SQL of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.store import ACCOUNT_COLUMNS
from lading.accounts.tables import accounts, sessions
from lading.core.clock import from_microseconds
from lading.database import Point

_SWEPT = 1000  # expired ones that one sign-in clears away
_WIDTH = len(ACCOUNT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Session:
    """A session. `id` is the SHA-256 of its secret, in hex; `epoch` the account's when it signed in."""

    id: str
    account_id: str
    csrf: str
    epoch: int
    method: str  # password, oidc
    created_at: datetime
    used_at: datetime
    expires_at: datetime


SESSION_AND_ACCOUNT = Point(
    select(
        *ACCOUNT_COLUMNS,
        sessions.c.id,
        sessions.c.account_id,
        sessions.c.csrf,
        sessions.c.epoch,
        sessions.c.method,
        sessions.c.created_at,
        sessions.c.used_at,
        sessions.c.expires_at,
    )
    .join(accounts, accounts.c.id == sessions.c.account_id)
    .where(sessions.c.id == bindparam("id"))
)


def session_of(row: Sequence[Any]) -> Session:
    """The session in the last columns of SESSION_AND_ACCOUNT's row."""
    identity, account, csrf, epoch, method, *moments = row[_WIDTH:]
    created, used, expires = (from_microseconds(moment) for moment in moments)
    return Session(identity, account, csrf, epoch, method, created, used, expires)


async def add_session(unit: AsyncConnection, session: Session, *, address: str, user_agent: str) -> None:
    await unit.execute(
        insert(sessions).values(
            id=session.id,
            account_id=session.account_id,
            csrf=session.csrf,
            epoch=session.epoch,
            method=session.method,
            user_agent=user_agent,
            address=address,
            created_at=session.created_at,
            used_at=session.used_at,
            expires_at=session.expires_at,
        )
    )


async def use_session(unit: AsyncConnection, session_id: str, used_at: datetime, expires_at: datetime) -> None:
    await unit.execute(
        update(sessions).where(sessions.c.id == session_id).values(used_at=used_at, expires_at=expires_at)
    )


async def delete_session(unit: AsyncConnection, session_id: str) -> bool:
    return bool((await unit.execute(delete(sessions).where(sessions.c.id == session_id))).rowcount)


async def drop_least_used(unit: AsyncConnection, account_id: str, *, keep: int) -> int:
    """How many of the account's sessions went: all but the `keep` used last."""
    newest_first = (sessions.c.used_at.desc(), sessions.c.created_at.desc(), sessions.c.id)
    too_many = (
        select(sessions.c.id)
        .where(sessions.c.account_id == account_id)
        .order_by(*newest_first)
        .limit(_SWEPT)
        .offset(keep)
    )
    going = list(await unit.scalars(too_many))
    if going:
        await unit.execute(delete(sessions).where(sessions.c.id.in_(going)))
    return len(going)


async def delete_expired(unit: AsyncConnection, now: datetime) -> int:
    """How many sessions went that had ended by themselves; a bounded number at a time."""
    over = select(sessions.c.id).where(sessions.c.expires_at <= now).order_by(sessions.c.expires_at).limit(_SWEPT)
    return int((await unit.execute(delete(sessions).where(sessions.c.id.in_(over)))).rowcount)


async def delete_sessions_from(unit: AsyncConnection, directory: str) -> int:
    """How many sessions went: those of all accounts that come from the directory."""
    theirs = select(accounts.c.id).where(accounts.c.directory == directory)
    return int((await unit.execute(delete(sessions).where(sessions.c.account_id.in_(theirs)))).rowcount)
