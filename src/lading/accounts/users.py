"""Making and changing users. Every change is an event in the same unit of work."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError

from lading.accounts import organization_store, store
from lading.accounts.accounts import Account
from lading.accounts.errors import (
    AccountExistsError,
    AccountUnknownError,
    LastAdminError,
    PasswordElsewhereError,
    PasswordTooShortError,
)
from lading.accounts.passwords import Passwords
from lading.core.clock import Clock
from lading.core.names import check_account_name
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.web.paging import Page, Paging


@dataclass(frozen=True)
class Users:
    """The use cases of user administration; who may call them is the doors' question to `access.decide`."""

    database: Database
    passwords: Passwords
    clock: Clock
    minimum_length: int

    async def create(
        self,
        name: str,
        password: str | None,
        *,
        by: Actor,
        full_name: str = "",
        is_admin: bool = False,
        is_active: bool = True,
    ) -> Account:
        """A new user, owning the namespace of his name. Without a password he can't sign in by one.

        Errors: NameInvalidError, AccountExistsError, PasswordTooShortError.
        """
        check_account_name(name)
        hashed = None if password is None else await self._hash(password)
        now = self.clock.now()
        account = Account(
            str(uuid.uuid4()),
            name,
            full_name,
            is_organization=False,
            is_admin=is_admin,
            is_active=is_active,
            password_hash=hashed,
            epoch=0,
            created_at=now,
        )
        try:
            async with self.database.write() as unit:
                await store.add_account(unit, account, now)
                await record(unit, now, _event(EventType.CREATE, by, account, ""))
        except IntegrityError as error:
            raise AccountExistsError(name) from error
        return account

    async def find(self, name: str) -> Account | None:
        """The account of that name or id."""
        async with self.database.read() as connection:
            return await store.find_account_or_id(connection, name)

    async def get(self, name: str) -> Account:
        """The account of that name or id. Errors: AccountUnknownError."""
        account = await self.find(name)
        if account is None:
            raise AccountUnknownError(name)
        return account

    async def list(
        self, paging: Paging, *, kind: str = "all", contains: str = "", order: str = "name", down: bool = False
    ) -> Page[Account]:
        """Accounts in order of their names, or full names; `kind` is one of `store.FILTERS`."""
        async with self.database.read() as connection:
            found = await store.list_accounts(
                connection,
                start=paging.start,
                limit=paging.size + 1,
                kind=kind,
                contains=contains,
                by_full_name=order == "fullName",
                down=down,
            )
            total = await store.count_accounts(connection, kind=kind, contains=contains) if paging.count else None
        return Page(found[: paging.size], found[paging.size].name if len(found) > paging.size else None, total)

    async def search(self, word: str, paging: Paging, *, near: str | None) -> Sequence[Account]:
        """Users and organizations with the word in their names; `near`: only those in an organization with that account."""
        async with self.database.read() as connection:
            return await store.list_accounts(
                connection, start=paging.start, limit=paging.size, contains=word, near=near
            )

    async def counts(self) -> tuple[int, int]:
        """How many users and organizations there are."""
        async with self.database.read() as connection:
            return await store.count_accounts(connection, kind="users"), await store.count_accounts(
                connection, kind="orgs"
            )

    async def organization_counts(self, found: Sequence[Account]) -> dict[str, tuple[int, int]]:
        """How many members and teams those of the accounts have that are organizations, by their ids."""
        ids = [item.id for item in found if item.is_organization]
        if not ids:
            return {}
        async with self.database.read() as connection:
            return await organization_store.counts_of(connection, ids)

    async def content_cache(self, account: Account) -> str:
        """The id of the content cache that the user pulls from, empty for none."""
        async with self.database.read() as connection:
            return await store.find_content_cache(connection, account.id)

    async def set_content_cache(self, account: Account, content_cache: str, *, by: Actor) -> None:
        """The user pulls from that content cache; empty: from here."""
        async with self.database.write() as unit:
            await store.put_content_cache(unit, account.id, content_cache)
            await record(unit, self.clock.now(), _event(EventType.UPDATE, by, account, "content cache"))

    async def set_password(self, name: str, password: str, *, by: Actor) -> None:
        """The password is this one; all that was signed in by the old one is signed out.

        Errors: AccountUnknownError, PasswordTooShortError.
        """
        account = await self.get(name)
        if account.directory is not None:
            raise PasswordElsewhereError(account.name)
        hashed = await self._hash(password)
        now = self.clock.now()
        async with self.database.write() as unit:
            await store.set_password_hash(unit, account.id, hashed, now)
            # What `docker login` made of the old password dies with it; tokens that people made themselves stay.
            await store.delete_tokens(unit, account.id, used_before=None, generated_by="auto")
            await record(unit, now, _event(EventType.UPDATE, by, account, "password"))

    async def change(
        self,
        name: str,
        *,
        by: Actor,
        full_name: str | None = None,
        is_admin: bool | None = None,
        is_active: bool | None = None,
    ) -> Account:
        """The account with what was given changed. Errors: AccountUnknownError, LastAdminError."""
        account = await self.get(name)
        loses = account.is_admin and account.is_active and (is_admin is False or is_active is False)
        given = {"full_name": full_name, "is_admin": is_admin, "is_active": is_active}
        changes = {key: value for key, value in given.items() if value is not None}
        if changes:
            now = self.clock.now()
            async with self.database.write() as unit:
                if loses and await store.is_last_admin(unit, account.id):
                    raise LastAdminError(name)
                await store.change_account(unit, account.id, now, **changes)
                await record(unit, now, _event(EventType.UPDATE, by, account, ", ".join(sorted(changes))))
        return replace(account, **changes)  # type: ignore[arg-type]  # keys and types are those of `given`

    async def _hash(self, password: str) -> str:
        if len(password) < self.minimum_length:
            raise PasswordTooShortError(self.minimum_length)
        return await self.passwords.hash(password)


def _event(kind: EventType, by: Actor, account: Account, content: str) -> Event:
    return Event(kind, by, ObjectType.ACCOUNT, account.id, object_name=account.name, content=content)
