"""Signing in by a directory: its answer to name and password, and the account that belongs to it here.

Nothing of a password is kept, but for a short while, in this process, that one was right (which can be switched off). When the
directory can't be asked nobody comes in by it: the error is UnavailableError.
"""

import asyncio
import contextlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

import structlog
from cachetools import TTLCache
from sqlalchemy.exc import IntegrityError

from lading.accounts import store, sync_store
from lading.accounts.accounts import Account
from lading.accounts.directories import Directory, DirectoryUser
from lading.accounts.directory_settings import LDAP, DirectoryChoice, DirectorySettings
from lading.core.clock import Clock
from lading.core.errors import LadingError, UnavailableError
from lading.database import Database
from lading.events.log import SYSTEM, Event, EventType, ObjectType, record
from lading.jobs.jobs import JobRequest
from lading.jobs.queue import submit

log = structlog.get_logger()

_REMEMBERED, _REMEMBERED_SECONDS = 10_000, 30
_AT_ONCE = 16  # questions of one process; more wait
_SECONDS = 20  # what one sign-in may take
SYNC = "ldap-sync"
"""The action of the job that brings accounts and memberships up to the directory. Source: DTR reference 1.6."""
_Answer = TypeVar("_Answer")


class SignInUnavailableError(UnavailableError):
    """What is the matter with the directory is the administrators' business: the log tells it."""

    def __init__(self) -> None:
        super().__init__("the directory that knows this account can't be asked now; try again in a moment")


def make_directory(choice: DirectoryChoice, now: datetime, *, seconds: float = _SECONDS) -> Directory:
    """The directory of the settings, for one question that may take so long; the caller closes it."""
    # Imported when there is one: ldap3 takes long to import, and most installations have none.
    from lading.accounts.directories.ldap import LdapDirectory  # noqa: PLC0415 — see above

    return LdapDirectory(choice.ldap, now, seconds=seconds)


class DirectorySignIn:
    """The use cases. `remember` allows to remember right passwords for a short while."""

    def __init__(self, database: Database, clock: Clock, settings: DirectorySettings, *, remember: bool = True) -> None:
        self.settings = settings
        self._database = database
        self._clock = clock
        self._remember = remember
        self._key = secrets.token_bytes(32)
        self._right: TTLCache[bytes, DirectoryUser] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._there: TTLCache[str, bool] = TTLCache(_REMEMBERED, _REMEMBERED_SECONDS)
        self._at_once = asyncio.Semaphore(_AT_ONCE)

    async def is_used(self) -> bool:
        """Accounts come from a directory, too."""
        return (await self.settings.current()).uses_ldap

    async def by_password(self, name: str, password: str) -> Account | None:
        """The account of who signs in so, made when the settings allow; None when the directory, or an account, says no.

        Errors: SignInUnavailableError when the directory does not answer.
        """
        choice = await self.settings.current()
        if not choice.uses_ldap or not password:
            return None
        secret = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        user = self._right.get(secret)
        if user is None:
            user = await self._ask(choice, lambda directory: _checked(directory, name, password))
            if user is None:
                return None
            if self._remember:
                self._right[secret] = user
        return await self._account_of(user, choice)

    async def check_still_there(self, account: Account) -> bool:
        """False when the account's user is gone from the directory, or shut out there; asked of it every 30 s at most.

        Only while accounts are made just in time: else the sync says who is there. Errors: SignInUnavailableError.
        """
        if account.directory != LDAP:
            return True
        choice = await self.settings.current()
        if not choice.uses_ldap:
            return False  # who came from the directory is known by nobody now
        if not choice.ldap.just_in_time:
            return True
        known = self._there.get(account.id)
        if known is None:
            user = await self._ask(choice, lambda directory: directory.find(account.name))
            known = user is not None and user.is_active and user.name == account.name
            if self._remember:
                self._there[account.id] = known
        return known

    async def find(self, name: str) -> DirectoryUser | None:
        """Who signs in by that name, for an administrator who makes the account beforehand."""
        choice = await self.settings.current()
        return await self._ask(choice, lambda directory: directory.find(name)) if choice.uses_ldap else None

    async def _ask(self, choice: DirectoryChoice, question: Callable[[Directory], _Answer]) -> _Answer:
        def answered() -> _Answer:
            with contextlib.closing(make_directory(choice, self._clock.now())) as directory:
                return question(directory)

        try:
            async with self._at_once:
                return await asyncio.to_thread(answered)
        except LadingError as error:
            log.warning("the directory could not be asked", why=error.message)
            raise SignInUnavailableError from error

    async def _account_of(self, user: DirectoryUser, choice: DirectoryChoice) -> Account | None:
        row = await self._database.points.first(store.ACCOUNT_BY_NAME, name=user.name)
        account = None if row is None else store.account_of(row)
        if account is None:
            if not choice.ldap.just_in_time:
                return None
            account = await self.make(user)
            await self._join_teams(choice)
            return account
        if account.directory != LDAP:
            return None  # a local account of that name is never taken over
        if account.directory_id is not None and account.directory_id != user.id:
            known, name = account.directory_id, account.name
            if await self._ask(choice, lambda directory: _is_anothers(directory, known, name, user)):
                log.warning("two in the directory have one name", name=name, first=known, refused=user.id)
                return None  # the account is whose it was
        if (account.directory_id, account.full_name) != (user.id, user.full_name):
            async with self._database.write() as unit:
                await sync_store.forget_places(unit, LDAP, [user.id])
                changes = {"directory_id": user.id, "full_name": user.full_name}
                await store.change_account(unit, account.id, self._clock.now(), **changes)
        return account

    async def _join_teams(self, choice: DirectoryChoice) -> None:
        """A sync is waiting, that puts the new account into its teams; one for all who come until it starts."""
        async with self._database.read() as connection:
            if not choice.ldap.admins.is_on and not await sync_store.has_targets(connection):
                return
        async with self._database.write() as unit:
            await submit(unit, JobRequest(SYNC, unique_key=SYNC), self._clock.now())

    async def make(self, user: DirectoryUser, *, on_demand: bool = True) -> Account | None:
        """The user's account, new; None when somebody was faster with that name."""
        now = self._clock.now()
        account = Account(
            str(uuid.uuid4()),
            user.name,
            user.full_name,
            is_organization=False,
            is_admin=False,
            is_active=True,
            password_hash=None,
            epoch=0,
            created_at=now,
            directory=LDAP,
            directory_id=user.id,
        )
        try:
            async with self._database.write() as unit:
                await sync_store.forget_places(unit, LDAP, [user.id])
                await store.add_account(unit, account, now, on_demand=on_demand)
                made = Event(
                    EventType.CREATE, SYSTEM, ObjectType.ACCOUNT, account.id, object_name=account.name, content=LDAP
                )
                await record(unit, now, made)
        except IntegrityError:
            row = await self._database.points.first(store.ACCOUNT_BY_NAME, name=user.name)
            found = None if row is None else store.account_of(row)
            return found if found is not None and found.directory == LDAP else None
        return account


def _is_anothers(directory: Directory, known: str, name: str, user: DirectoryUser) -> bool:
    """True when the id that the account has is still that of a user of its name, and not of this one."""
    return directory.same_id(known) != directory.same_id(user.id) and directory.knows(known, name)


def _checked(directory: Directory, name: str, password: str) -> DirectoryUser | None:
    user = directory.find(name)
    return user if user is not None and directory.check(user, password) else None


BEARER_LIFETIME = timedelta(seconds=60)
"""Registry tokens of a directory's users live no longer: within that time each of them is asked for again."""
