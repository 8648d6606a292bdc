"""Deleting an account with all that is its: one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts import grant_store, organization_store, store
from lading.accounts.accounts import Account
from lading.accounts.errors import LastAdminError, OwnsRepositoriesError
from lading.accounts.grant_store import OWNERS, TEAM, USER, Subject
from lading.core.clock import Clock
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record


class OwnedThings(Protocol):
    """What a room above keeps in namespaces. It is asked in the unit of work that deletes the account."""

    async def owns(self, unit: AsyncConnection, namespace: str) -> bool:
        """True when there is something in the namespace."""
        ...

    async def delete(self, unit: AsyncConnection, namespace: str, *, by: Actor, now: datetime) -> None:
        """Nothing is left in the namespace. Errors: a LadingError when that must not be; then nothing is deleted."""
        ...


@dataclass(frozen=True)
class AccountDeletion:
    """The use case of deleting an account; who may is the doors' question."""

    database: Database
    clock: Clock
    owned: Sequence[OwnedThings]

    async def delete(self, account: Account, *, by: Actor, with_owned: bool) -> None:
        """The account is gone, with its tokens, keys, robots, teams, grants, and, when asked, all that is in its namespace.

        Errors: OwnsRepositoriesError, when not asked; LastAdminError.
        """
        now = self.clock.now()
        async with self.database.write() as unit:
            if account.is_admin and account.is_active and await store.is_last_admin(unit, account.id):
                raise LastAdminError(account.name)
            await self._delete_owned(unit, account, by=by, now=now, wanted=with_owned)
            for one in [*await store.robots_of(unit, account.id), account]:
                await self._delete_one(unit, one)
            await record(
                unit, now, Event(EventType.DELETE, by, ObjectType.ACCOUNT, account.id, object_name=account.name)
            )

    async def delete_owned(self, account: Account, *, by: Actor) -> None:
        """Nothing is left in the account's namespace."""
        async with self.database.write() as unit:
            await self._delete_owned(unit, account, by=by, now=self.clock.now(), wanted=True)

    async def _delete_owned(
        self, unit: AsyncConnection, account: Account, *, by: Actor, now: datetime, wanted: bool
    ) -> None:
        for things in self.owned:
            if not await things.owns(unit, account.name):
                continue
            if not wanted:
                raise OwnsRepositoriesError(account.name)
            await things.delete(unit, account.name, by=by, now=now)

    async def _delete_one(self, unit: AsyncConnection, account: Account) -> None:
        teams = await organization_store.team_ids(unit, account.id)
        subjects = [Subject(USER, account.id), Subject(OWNERS, account.id), *(Subject(TEAM, team) for team in teams)]
        await grant_store.delete_grants_of(unit, subjects)
        for team in teams:
            await store.delete_member_sync(unit, f"team:{team}")
        await store.delete_account(unit, account.id)
