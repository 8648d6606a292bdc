"""The SQL of organizations: members, teams, members of teams. Each page is one statement along an index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.accounts import Account
from lading.accounts.store import ACCOUNT_COLUMNS
from lading.accounts.tables import accounts, memberships, team_members, teams
from lading.database.upserts import upsert

_WIDTH = len(ACCOUNT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Member:
    """An account in an organization or a team. `is_imported`: put there by a directory's sync, and only taken out by it."""

    account: Account
    is_admin: bool
    is_imported: bool


@dataclass(frozen=True, slots=True)
class StoredTeam:
    """A team of an organization."""

    id: str
    organization_id: str
    name: str
    description: str
    members: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account is in an organization, and in one of its teams."""

    is_member: bool = False
    is_owner: bool = False
    in_team: bool = False
    is_team_admin: bool = False


ADMINS: Mapping[str, ColumnElement[bool]] = {
    "all": true(),
    "admins": memberships.c.is_admin,
    "non-admins": ~memberships.c.is_admin,
}
"""DTR's filters of the members list. Source: DTR reference 1.6."""


async def standing(connection: AsyncConnection, account_id: str, organization_id: str, team_id: str = "") -> Standing:
    """One statement."""
    found = (
        select(memberships.c.is_admin, team_members.c.is_admin)
        .select_from(
            memberships.outerjoin(
                team_members,
                and_(team_members.c.team_id == team_id, team_members.c.account_id == memberships.c.account_id),
            )
        )
        .where(memberships.c.organization_id == organization_id, memberships.c.account_id == account_id)
    )
    row = (await connection.execute(found)).one_or_none()
    if row is None:
        return Standing()
    return Standing(is_member=True, is_owner=row[0], in_team=row[1] is not None, is_team_admin=bool(row[1]))


# --- members ---------------------------------------------------------------------------------------------------------


def _members(organization_id: str) -> Select[Any]:
    return (
        select(*ACCOUNT_COLUMNS, memberships.c.is_admin, memberships.c.is_imported)
        .join(accounts, accounts.c.id == memberships.c.account_id)
        .where(memberships.c.organization_id == organization_id)
    )


def _member(row: Sequence[Any]) -> Member:
    return Member(Account(*row[:_WIDTH]), row[_WIDTH], row[_WIDTH + 1])


async def list_members(
    connection: AsyncConnection, organization_id: str, *, kind: str, start: str, limit: int
) -> list[Member]:
    """Members from the name `start` on, in order of their names. `kind` is one of ADMINS."""
    wanted = _members(organization_id).where(ADMINS[kind], accounts.c.name >= start)
    return [_member(row) for row in await connection.execute(wanted.order_by(accounts.c.name).limit(limit))]


async def count_members(connection: AsyncConnection, organization_id: str, *, kind: str = "all") -> int:
    counted = select(func.count()).where(memberships.c.organization_id == organization_id, ADMINS[kind])
    return int(await connection.scalar(counted) or 0)


async def find_member(connection: AsyncConnection, organization_id: str, account_id: str) -> Member | None:
    found = await connection.execute(_members(organization_id).where(accounts.c.id == account_id))
    row = found.one_or_none()
    return None if row is None else _member(row)


async def put_member(
    unit: AsyncConnection, organization_id: str, account_id: str, now: datetime, *, is_admin: bool | None
) -> None:
    """The account is a member; `is_admin` None leaves what it was, and makes new ones none."""
    values = {"organization_id": organization_id, "account_id": account_id, "created_at": now, "is_imported": False}
    adding = upsert(unit)(memberships).values(**values, is_admin=bool(is_admin))
    key = ["organization_id", "account_id"]
    if is_admin is None:
        await unit.execute(adding.on_conflict_do_nothing(index_elements=key))
    else:
        await unit.execute(adding.on_conflict_do_update(index_elements=key, set_={"is_admin": is_admin}))


async def delete_member(unit: AsyncConnection, organization_id: str, account_id: str) -> bool:
    """The account is in no team of the organization, and no member of it. False when it was none."""
    its_teams = select(teams.c.id).where(teams.c.organization_id == organization_id)
    await unit.execute(
        delete(team_members).where(team_members.c.account_id == account_id, team_members.c.team_id.in_(its_teams))
    )
    gone = await unit.execute(
        delete(memberships).where(
            memberships.c.organization_id == organization_id, memberships.c.account_id == account_id
        )
    )
    return bool(gone.rowcount)


async def has_other_owner(connection: AsyncConnection, organization_id: str, account_id: str) -> bool:
    others = select(memberships.c.account_id).where(
        memberships.c.organization_id == organization_id, memberships.c.is_admin, memberships.c.account_id != account_id
    )
    return await connection.scalar(others.limit(1)) is not None


async def list_organizations_of(
    connection: AsyncConnection, account_id: str, *, start: str, limit: int
) -> list[Member]:
    """The organizations that the account belongs to, from the name `start` on; `is_admin`: it owns that one."""
    wanted = (
        select(*ACCOUNT_COLUMNS, memberships.c.is_admin, memberships.c.is_imported)
        .join(accounts, accounts.c.id == memberships.c.organization_id)
        .where(memberships.c.account_id == account_id, accounts.c.name >= start)
        .order_by(accounts.c.name)
        .limit(limit)
    )
    return [_member(row) for row in await connection.execute(wanted)]


# --- teams -----------------------------------------------------------------------------------------------------------

_COUNTED = (
    select(func.count())
    .where(team_members.c.team_id == teams.c.id)
    .correlate_except(team_members)
    .scalar_subquery()
    .label("members")
)
TEAM_COLUMNS = (teams.c.id, teams.c.organization_id, teams.c.name, teams.c.description, _COUNTED)


async def list_teams(connection: AsyncConnection, organization_id: str, *, start: str, limit: int) -> list[StoredTeam]:
    """Teams from the name `start` on, in order of their names."""
    wanted = select(*TEAM_COLUMNS).where(teams.c.organization_id == organization_id, teams.c.name >= start)
    return [StoredTeam(*row) for row in await connection.execute(wanted.order_by(teams.c.name).limit(limit))]


async def count_teams(connection: AsyncConnection, organization_id: str) -> int:
    counted = select(func.count()).where(teams.c.organization_id == organization_id)
    return int(await connection.scalar(counted) or 0)


async def find_team(connection: AsyncConnection, organization_id: str, name: str) -> StoredTeam | None:
    """The team of that name, or of that id, which may be given as `id:…`."""
    key = teams.c.id == name.removeprefix("id:") if len(name) >= _ID_LENGTH else teams.c.name == name
    wanted = select(*TEAM_COLUMNS).where(teams.c.organization_id == organization_id)
    row = (await connection.execute(wanted.where(key))).one_or_none()
    if row is None and len(name) >= _ID_LENGTH:
        row = (await connection.execute(wanted.where(teams.c.name == name))).one_or_none()
    return None if row is None else StoredTeam(*row)


_ID_LENGTH = 36


async def add_team(unit: AsyncConnection, team: StoredTeam, now: datetime) -> None:
    """Errors: IntegrityError when the organization has one of that name."""
    await unit.execute(
        insert(teams).values(
            id=team.id,
            organization_id=team.organization_id,
            name=team.name,
            description=team.description,
            created_at=now,
            updated_at=now,
        )
    )


async def change_team(unit: AsyncConnection, team_id: str, now: datetime, **values: object) -> None:
    """Sets columns of the team. Keys are column names."""
    await unit.execute(update(teams).where(teams.c.id == team_id).values(updated_at=now, **values))


async def delete_team(unit: AsyncConnection, team_id: str) -> None:
    await unit.execute(delete(teams).where(teams.c.id == team_id))


async def team_ids(connection: AsyncConnection, organization_id: str) -> list[str]:
    found = await connection.scalars(select(teams.c.id).where(teams.c.organization_id == organization_id))
    return list(found)


def _team_members(team_id: str) -> Select[Any]:
    return (
        select(*ACCOUNT_COLUMNS, team_members.c.is_admin, team_members.c.is_imported)
        .join(accounts, accounts.c.id == team_members.c.account_id)
        .where(team_members.c.team_id == team_id)
    )


async def list_team_members(
    connection: AsyncConnection, team_id: str, *, kind: str, start: str, limit: int
) -> list[Member]:
    """The team's members from the name `start` on, in order of their names. `kind` is one of ADMINS."""
    wanted = _team_members(team_id).where(_TEAM_ADMINS[kind], accounts.c.name >= start)
    return [_member(row) for row in await connection.execute(wanted.order_by(accounts.c.name).limit(limit))]


_TEAM_ADMINS: Mapping[str, ColumnElement[bool]] = {
    "all": true(),
    "admins": team_members.c.is_admin,
    "non-admins": ~team_members.c.is_admin,
}


async def find_team_member(connection: AsyncConnection, team_id: str, account_id: str) -> Member | None:
    row = (await connection.execute(_team_members(team_id).where(accounts.c.id == account_id))).one_or_none()
    return None if row is None else _member(row)


async def put_team_member(
    unit: AsyncConnection, team_id: str, account_id: str, now: datetime, *, is_admin: bool | None
) -> None:
    """The account is in the team; `is_admin` None leaves what it was, and makes new ones none."""
    values = {"team_id": team_id, "account_id": account_id, "created_at": now, "is_imported": False}
    adding = upsert(unit)(team_members).values(**values, is_admin=bool(is_admin))
    key = ["team_id", "account_id"]
    if is_admin is None:
        await unit.execute(adding.on_conflict_do_nothing(index_elements=key))
    else:
        await unit.execute(adding.on_conflict_do_update(index_elements=key, set_={"is_admin": is_admin}))


async def delete_team_member(unit: AsyncConnection, team_id: str, account_id: str) -> bool:
    gone = await unit.execute(
        delete(team_members).where(team_members.c.team_id == team_id, team_members.c.account_id == account_id)
    )
    return bool(gone.rowcount)


async def list_teams_of(
    connection: AsyncConnection, organization_id: str, account_id: str, *, start: str, limit: int
) -> list[tuple[StoredTeam, bool]]:
    """The organization's teams that the account is in, from the name `start` on, and whether it is their admin."""
    wanted = (
        select(*TEAM_COLUMNS, team_members.c.is_admin)
        .join(team_members, team_members.c.team_id == teams.c.id)
        .where(teams.c.organization_id == organization_id, team_members.c.account_id == account_id)
        .where(teams.c.name >= start)
        .order_by(teams.c.name)
        .limit(limit)
    )
    return [(StoredTeam(*row[:5]), bool(row[5])) for row in await connection.execute(wanted)]


async def counts_of(connection: AsyncConnection, organization_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """How many members and teams each of the organizations has, in two statements."""
    counted = []
    for column in (memberships.c.organization_id, teams.c.organization_id):
        found = await connection.execute(
            select(column, func.count()).where(column.in_(organization_ids)).group_by(column)
        )
        counted.append({row[0]: int(row[1]) for row in found})
    members, made = counted
    return {key: (members.get(key, 0), made.get(key, 0)) for key in organization_ids}


async def share_an_organization(connection: AsyncConnection, one: str, other: str) -> bool:
    """True when both accounts belong to some organization, or one is the other's."""
    theirs = memberships.alias()
    both = select(memberships.c.organization_id).where(
        memberships.c.account_id == one,
        or_(
            memberships.c.organization_id == other,
            select(theirs.c.account_id)
            .where(theirs.c.organization_id == memberships.c.organization_id, theirs.c.account_id == other)
            .correlate_except(theirs)
            .exists(),
        ),
    )
    return await connection.scalar(both.limit(1)) is not None
