"""The job that brings accounts, teams, owners and administrators up to the directory.

All is read first; only when all of it was read is anything changed: a directory that stops answering half way changes nothing.
What is changed is told in the job's log, one line an account, and one a team, with the reason when it stays empty.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from typing import TypeVar

from lading.accounts import sync_store
from lading.accounts.directories import Directory, DirectoryInvalidError, DirectoryUser, LeftOut
from lading.accounts.directory_settings import LDAP, DirectorySettings
from lading.accounts.directory_sign_in import make_directory
from lading.accounts.sync_plan import KnownAccount, UserPlan, plan_members, plan_users
from lading.accounts.sync_store import Target
from lading.core.clock import Clock
from lading.core.errors import ConflictError, InvalidError
from lading.database import Database
from lading.database.locks import release, try_lease
from lading.events.log import SYSTEM, Event, EventType, ObjectType, record
from lading.jobs.context import JobContext
from lading.jobs.jobs import Job

_BATCH = 1000
_LINES = 500
_SECONDS = 1800  # what reading the directory may take
_LEASE = timedelta(minutes=40)
_LOCK = "ldap-sync"
_Item = TypeVar("_Item")


class SyncIncompleteError(InvalidError):
    """The rest was done."""

    code = "SYNC_INCOMPLETE"


class NobodyFoundError(InvalidError):
    """All would be shut out: more likely the search, or the reader's rights, are wrong."""

    code = "SYNC_REFUSED"

    def __init__(self, active: int) -> None:
        super().__init__(
            f"the user searches find nobody, and {active} active accounts came from them: nothing was changed. Check baseDN, "
            "filter, usernameAttr, and what the reader may read"
        )


class SyncRunningError(ConflictError):
    """One at a time."""

    code = "SYNC_RUNNING"

    def __init__(self) -> None:
        super().__init__("another sync is running, or was killed less than 40 minutes ago")


@dataclass(slots=True)
class _Read:
    """All that the directory told. Members are ids in one spelling; a text says why they could not be read."""

    users: list[DirectoryUser] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    members: dict[str, frozenset[str] | str] = field(default_factory=dict)


@dataclass(frozen=True)
class DirectorySync:
    """Handler of the action `ldap-sync`. Safe to run twice, and to be killed at any step: the next run does the rest."""

    database: Database
    clock: Clock
    settings: DirectorySettings

    holder: str = "jobs"

    async def __call__(self, job: Job, context: JobContext) -> None:  # noqa: ARG002 — a handler's signature
        """Errors: LadingError, of which kind it may be, with the sentence for the log."""
        async with self.database.write() as unit:
            # Who starts again after a kill goes on where he was: the lease is his.
            if not await try_lease(unit, _LOCK, self.holder, self.clock.now(), _LEASE):
                raise SyncRunningError
        try:
            await self._sync(context)
        finally:
            async with self.database.write() as unit:
                await release(unit, _LOCK, self.holder)

    async def _sync(self, context: JobContext) -> None:
        choice = await self.settings.current()
        if not choice.uses_ldap:
            await context.log("LDAP is not used: nothing to do (PUT /enzi/v0/config/auth switches it on)")
            return
        async with self.database.read() as connection:
            targets = await sync_store.list_targets(connection)
            if choice.ldap.admins.is_on:
                targets.append(Target(sync_store.ADMINS, "administrators", choice.ldap.admins))
            known = await sync_store.list_accounts(connection)
        for domain in (choice.ldap, *choice.ldap.additional):
            note = (
                "" if domain.is_encrypted else ", without encryption: passwords can be read on the way (see startTLS)"
            )
            await context.log(f"reading {domain.url}{note}")
        directory = make_directory(choice, self.clock.now(), seconds=_SECONDS)
        with contextlib.closing(directory):
            read = await asyncio.to_thread(_read, directory, targets, context.check)
        await self._change(context, directory, read, known, targets, just_in_time=choice.ldap.just_in_time)

    async def _change(
        self,
        context: JobContext,
        directory: Directory,
        read: _Read,
        known: Mapping[str, KnownAccount],
        targets: Sequence[Target],
        *,
        just_in_time: bool,
    ) -> None:
        active = sum(one.is_active and one.directory == LDAP for one in known.values())
        if active and not just_in_time and not any(user.is_active for user in read.users):
            raise NobodyFoundError(active)
        plan = plan_users(read.users, known, directory=LDAP, just_in_time=just_in_time)
        await _tell(context, (f"{one.id}: left out: {one.why}" for one in read.left_out))
        await self._change_users(context, plan)
        summary = (
            f"{len(read.users)} users found, {len(read.left_out)} entries left out: {len(plan.create)} made, "
            f"{len(plan.update)} changed, {len(plan.deactivate)} shut out, {plan.unchanged} left alone"
        )
        await context.log(summary)
        async with self.database.read() as connection:
            here = await sync_store.list_ids(connection, LDAP)
        ids = await asyncio.to_thread(lambda: {directory.same_id(place): account for account, place in here})
        broken = []
        for done, target in enumerate(targets):
            await context.progress(done, len(targets))
            members = read.members[target.id]
            if isinstance(members, str):
                broken.append(target.name)
                await context.log(f"{target.name}: left alone: {members}")
                continue
            await self._change_members(context, target, members, ids)
        for organization_id, name in sorted({(one.organization_id or "", one.organization) for one in targets}):
            async with self.database.write() as unit:
                gone = await sync_store.leave_organizations(unit, organization_id, LDAP)
            if gone:
                await context.log(f"{name}: {gone} members left, who are in none of its teams any more")
        await context.progress(1, 1)
        if broken:
            raise SyncIncompleteError(
                f"could not be read, and so were left alone: {', '.join(broken)[:500]}; see the log"
            )

    async def _change_users(self, context: JobContext, plan: UserPlan) -> None:
        now = self.clock.now()
        total, done = len(plan.create) + len(plan.update) + len(plan.deactivate), 0
        for users in _batches(plan.create):
            async with self.database.write() as unit:
                made = await sync_store.add_users(unit, users, LDAP, now)
                told = [_event(EventType.CREATE, account, name) for account, name in made]
                await record(unit, now, *told)
            missed = {user.name for user in users} - {name for _, name in made}
            plan.lines += [f"{name}: left out after all: somebody got that name meanwhile" for name in sorted(missed)]
            done += len(users)
            await context.progress(done, total)
        for changes in _batches(plan.update):
            async with self.database.write() as unit:
                await sync_store.update_users(unit, changes, LDAP, now)
            done += len(changes)
            await context.progress(done, total)
        for accounts in _batches(plan.deactivate):
            async with self.database.write() as unit:
                shut_out = await sync_store.deactivate_users(unit, [one.id for one in accounts], now)
                told = [_event(EventType.UPDATE, one.id, one.name, "gone") for one in accounts if one.id in shut_out]
                await record(unit, now, *told)
            kept = [one.name for one in accounts if one.id not in shut_out]
            plan.lines += [f"{name}: left in after all: it is the last administrator" for name in kept]
            done += len(accounts)
            await context.progress(done, total)
        await _tell(context, plan.lines)

    async def _change_members(
        self, context: JobContext, target: Target, members: frozenset[str], ids: Mapping[str, str]
    ) -> None:
        wanted = [ids[place] for place in members if place in ids]
        now = self.clock.now()
        async with self.database.write() as unit:
            if not await sync_store.is_there(unit, target):
                return  # deleted meanwhile
            plan = plan_members(wanted, await sync_store.present(unit, target, LDAP))
            kept = await sync_store.carry_out(unit, target, plan, now)
            if plan.add or plan.remove:
                content = f"sync: {len(plan.add)} added, {len(plan.remove)} removed"
                told = Event(
                    EventType.UPDATE, SYSTEM, ObjectType.MEMBER, target.id, object_name=target.name, content=content
                )
                await record(unit, now, told)
        changed = f"{len(plan.add)} added, {len(plan.remove)} removed"
        words = f"{target.name}: {len(members)} members there, {len(wanted)} here: {changed}"
        if not members:
            words += (
                "; the directory gives none: check the group's DN, groupMemberAttr, and that the reader may read it"
            )
        elif len(wanted) < len(members):
            words += (
                f"; {len(members) - len(wanted)} of them have no active account here: no user search finds them, or they have "
                "not signed in yet"
            )
        if kept is not None:
            words += f"; {kept} stays one, being the last"
        await context.log(words)


def _read(directory: Directory, targets: Sequence[Target], check: Callable[[], None]) -> _Read:
    """Everything, or an error. Errors: DirectoryUnavailableError; DirectoryInvalidError when the users can't be read."""
    read = _Read()
    for number, one in enumerate(directory.iter_users()):
        if number % _BATCH == 0:
            check()
        if isinstance(one, LeftOut):
            read.left_out.append(one)
        else:
            read.users.append(one)
    for target in targets:
        check()
        try:
            read.members[target.id] = directory.members(target.options)
        except DirectoryInvalidError as error:
            read.members[target.id] = error.message
    return read


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    left = iter(items)
    while batch := list(islice(left, _BATCH)):
        yield batch


async def _tell(context: JobContext, lines: Iterable[str]) -> None:
    left = iter(lines)
    while some := list(islice(left, _LINES)):
        await context.log(*some)


def _event(kind: EventType, account: str, name: str, content: str = "") -> Event:
    return Event(kind, SYSTEM, ObjectType.ACCOUNT, account, object_name=name, content=content or LDAP)
