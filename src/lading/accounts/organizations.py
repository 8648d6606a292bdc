"""Organizations, their members and teams. Every change is an event in the same unit of work.

Rules: an organization's owners are its members with `is_admin`; they have the role `owner` on its namespace by one grant that
is made with it. Who is put into a team is put into the organization, too; who leaves the organization leaves its teams. The
last owner can't be taken away by the owners themselves.
"""

import re
import uuid
from dataclasses import dataclass, replace

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access.roles import Role
from lading.accounts import grant_store, organization_store, store
from lading.accounts.accounts import Account
from lading.accounts.errors import (
    AccountExistsError,
    LastOwnerError,
    MemberUnknownError,
    NotAUserError,
    SyncedMemberError,
    TeamExistsError,
    TeamUnknownError,
)
from lading.accounts.grant_store import OWNERS, TEAM, Subject
from lading.accounts.organization_store import Member, StoredTeam
from lading.core.clock import Clock
from lading.core.errors import InvalidError
from lading.core.names import check_account_name
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.web.paging import Page, Paging

_TEAM_NAME = re.compile(r"[\w@](?:[\w .@-]{0,98}[\w.@-])?")


@dataclass(frozen=True)
class Organizations:
    """The use cases of organizations; who may call them is the doors' question to `access.decide`."""

    database: Database
    clock: Clock

    async def create(self, name: str, *, by: Actor, full_name: str = "") -> Account:
        """A new organization, with nobody in it. Errors: NameInvalidError, AccountExistsError."""
        check_account_name(name)
        now = self.clock.now()
        made = Account(
            str(uuid.uuid4()),
            name,
            full_name,
            is_organization=True,
            is_admin=False,
            is_active=True,
            password_hash=None,
            epoch=0,
            created_at=now,
        )
        try:
            async with self.database.write() as unit:
                await store.add_account(unit, made, now)
                owners = Subject(OWNERS, made.id)
                await grant_store.put_grant(unit, f"{name}/*", owners, Role.OWNER.value, by=by.id or None, now=now)
                await record(unit, now, Event(EventType.CREATE, by, ObjectType.ACCOUNT, made.id, object_name=name))
        except IntegrityError as error:
            raise AccountExistsError(name) from error
        return made

    # --- members ---

    async def members(self, organization: Account, paging: Paging, *, kind: str = "all") -> Page[Member]:
        """Members in order of their names; `kind` is one of organization_store.ADMINS."""
        async with self.database.read() as connection:
            found = await organization_store.list_members(
                connection, organization.id, kind=kind, start=paging.start, limit=paging.size + 1
            )
            total = await organization_store.count_members(connection, organization.id, kind=kind)
        return _page(found, paging, total)

    async def member(self, organization: Account, account: Account) -> Member:
        """Errors: MemberUnknownError."""
        async with self.database.read() as connection:
            found = await organization_store.find_member(connection, organization.id, account.id)
        if found is None:
            raise MemberUnknownError(account.name)
        return found

    async def put_member(self, organization: Account, account: Account, *, is_admin: bool | None, by: Actor) -> Member:
        """The user is a member. `is_admin` None leaves whether he owns it.

        Errors: NotAUserError; LastOwnerError.
        """
        _check_user(account)
        now = self.clock.now()
        async with self.database.write() as unit:
            known = await organization_store.find_member(unit, organization.id, account.id)
            if known is not None and known.is_admin and is_admin is False:
                await self._check_not_last(unit, organization, account)
            await organization_store.put_member(unit, organization.id, account.id, now, is_admin=is_admin)
            member = await organization_store.find_member(unit, organization.id, account.id)
            if known is None or member is None or member.is_admin != known.is_admin:
                kind = EventType.CREATE if known is None else EventType.UPDATE
                await record(unit, now, _membership(kind, by, organization, account, "owner" if is_admin else "member"))
        if member is None:
            raise MemberUnknownError(account.name)
        return member

    async def remove_member(self, organization: Account, account: Account, *, by: Actor, force: bool = False) -> None:
        """The account is neither a member nor in any of its teams. `force`: a system admin may take the last owner away.

        Errors: LastOwnerError, SyncedMemberError.
        """
        now = self.clock.now()
        async with self.database.write() as unit:
            known = await organization_store.find_member(unit, organization.id, account.id)
            if known is None:
                return
            # What is not synced any more can be changed by hand again.
            if known.is_imported and await store.has_syncs(unit, organization.id):
                raise SyncedMemberError(account.name)
            if known.is_admin and not force:
                await self._check_not_last(unit, organization, account)
            await organization_store.delete_member(unit, organization.id, account.id)
            await record(unit, now, _membership(EventType.DELETE, by, organization, account, "member"))

    async def _check_not_last(self, unit: AsyncConnection, organization: Account, account: Account) -> None:
        if not await organization_store.has_other_owner(unit, organization.id, account.id):
            raise LastOwnerError(account.name)

    async def organizations_of(self, account: Account, paging: Paging) -> Page[Member]:
        """The organizations that the account belongs to, in order of their names."""
        async with self.database.read() as connection:
            found = await organization_store.list_organizations_of(
                connection, account.id, start=paging.start, limit=paging.size + 1
            )
        return _page(found, paging, None)

    # --- teams ---

    async def teams(self, organization: Account, paging: Paging) -> Page[StoredTeam]:
        """Teams in order of their names."""
        async with self.database.read() as connection:
            found = await organization_store.list_teams(
                connection, organization.id, start=paging.start, limit=paging.size + 1
            )
            total = await organization_store.count_teams(connection, organization.id)
        more = found[paging.size].name if len(found) > paging.size else None
        return Page(found[: paging.size], more, total)

    async def team(self, organization: Account, name: str) -> StoredTeam:
        """The team of that name or id. Errors: TeamUnknownError."""
        async with self.database.read() as connection:
            found = await organization_store.find_team(connection, organization.id, name)
        if found is None:
            raise TeamUnknownError(name)
        return found

    async def create_team(self, organization: Account, name: str, description: str, *, by: Actor) -> StoredTeam:
        """A new team, with nobody in it. Errors: InvalidError for a name that can't be one; TeamExistsError."""
        _check_team_name(name)
        made, now = StoredTeam(str(uuid.uuid4()), organization.id, name, description, 0), self.clock.now()
        try:
            async with self.database.write() as unit:
                await organization_store.add_team(unit, made, now)
                await record(unit, now, _team(EventType.CREATE, by, organization, made))
        except IntegrityError as error:
            raise TeamExistsError(name) from error
        return made

    async def change_team(
        self, organization: Account, team: StoredTeam, *, by: Actor, name: str | None, description: str | None
    ) -> StoredTeam:
        """The team with what was given changed. Errors: as `create_team`."""
        if name is not None:
            _check_team_name(name)
        given = {"name": name, "description": description}
        changes = {key: value for key, value in given.items() if value is not None}
        now = self.clock.now()
        try:
            async with self.database.write() as unit:
                await organization_store.change_team(unit, team.id, now, **changes)
                await record(unit, now, _team(EventType.UPDATE, by, organization, team))
        except IntegrityError as error:
            raise TeamExistsError(name or team.name) from error
        return replace(
            team, name=name or team.name, description=team.description if description is None else description
        )

    async def delete_team(self, organization: Account, team: StoredTeam, *, by: Actor) -> None:
        """The team is gone, with all that was granted to it; its members stay in the organization."""
        now = self.clock.now()
        async with self.database.write() as unit:
            await grant_store.delete_grants_of(unit, [Subject(TEAM, team.id)])
            await store.delete_member_sync(unit, f"team:{team.id}")
            await organization_store.delete_team(unit, team.id)
            await record(unit, now, _team(EventType.DELETE, by, organization, team))

    async def team_members(self, team: StoredTeam, paging: Paging, *, kind: str = "all") -> Page[Member]:
        """Members in order of their names."""
        async with self.database.read() as connection:
            found = await organization_store.list_team_members(
                connection, team.id, kind=kind, start=paging.start, limit=paging.size + 1
            )
        return _page(found, paging, team.members)

    async def team_member(self, team: StoredTeam, account: Account) -> Member:
        """Errors: MemberUnknownError."""
        async with self.database.read() as connection:
            found = await organization_store.find_team_member(connection, team.id, account.id)
        if found is None:
            raise MemberUnknownError(account.name)
        return found

    async def put_team_member(
        self, organization: Account, team: StoredTeam, account: Account, *, is_admin: bool | None, by: Actor
    ) -> Member:
        """The user is in the team, and in its organization. Errors: NotAUserError; SyncedMemberError."""
        _check_user(account)
        now = self.clock.now()
        async with self.database.write() as unit:
            known = await organization_store.find_team_member(unit, team.id, account.id)
            if known is None and account.directory is not None and await store.is_synced(unit, f"team:{team.id}"):
                raise SyncedMemberError(account.name)
            await organization_store.put_member(unit, organization.id, account.id, now, is_admin=None)
            await organization_store.put_team_member(unit, team.id, account.id, now, is_admin=is_admin)
            member = await organization_store.find_team_member(unit, team.id, account.id)
            if known is None or member is None or member.is_admin != known.is_admin:
                kind = EventType.CREATE if known is None else EventType.UPDATE
                what = "admin" if is_admin else "member"
                await record(unit, now, _membership(kind, by, organization, account, what, team))
        if member is None:
            raise MemberUnknownError(account.name)
        return member

    async def remove_team_member(self, organization: Account, team: StoredTeam, account: Account, *, by: Actor) -> None:
        """The account is not in the team; it stays in the organization. Errors: SyncedMemberError."""
        now = self.clock.now()
        async with self.database.write() as unit:
            known = await organization_store.find_team_member(unit, team.id, account.id)
            if known is None:
                return
            if known.is_imported and await store.is_synced(unit, f"team:{team.id}"):
                raise SyncedMemberError(account.name)
            await organization_store.delete_team_member(unit, team.id, account.id)
            await record(unit, now, _membership(EventType.DELETE, by, organization, account, "member", team))

    async def teams_of(self, organization: Account, account: Account, paging: Paging) -> Page[tuple[StoredTeam, bool]]:
        """The teams of the organization that the account is in, and whether it is their admin."""
        async with self.database.read() as connection:
            found = await organization_store.list_teams_of(
                connection, organization.id, account.id, start=paging.start, limit=paging.size + 1
            )
        more = found[paging.size][0].name if len(found) > paging.size else None
        return Page(found[: paging.size], more)


def _page(found: list[Member], paging: Paging, total: int | None) -> Page[Member]:
    more = found[paging.size].account.name if len(found) > paging.size else None
    return Page(found[: paging.size], more, total)


def _check_user(account: Account) -> None:
    if account.is_organization or account.robot_of is not None:
        raise NotAUserError(account.name)


def _check_team_name(name: str) -> None:
    if _TEAM_NAME.fullmatch(name) is None:
        raise InvalidError(
            f"{name[:100]!r} can't be a team's name: want up to 100 letters, digits, '.', '_', '-', '@', and spaces inside"
        )


def _team(kind: EventType, by: Actor, organization: Account, team: StoredTeam) -> Event:
    return Event(kind, by, ObjectType.TEAM, team.id, object_name=f"{organization.name}/{team.name}")


def _membership(
    kind: EventType,
    by: Actor,
    organization: Account,
    account: Account,
    what: str,
    team: StoredTeam | None = None,
) -> Event:
    where = organization.name if team is None else f"{organization.name}/{team.name}"
    return Event(kind, by, ObjectType.MEMBER, account.id, object_name=account.name, content=f"{what} of {where}")
