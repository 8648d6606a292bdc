"""The SQL of team access as DTR shows it: teams of a resource, repositories of a team. Each page is one statement."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.grant_store import TEAM
from lading.accounts.organization_store import TEAM_COLUMNS, StoredTeam
from lading.accounts.tables import grants, team_members, teams
from lading.database import Database
from lading.registry.repository_store import REPOSITORY_COLUMNS, StoredRepository, joined_repositories, repository_of
from lading.registry.tables import repositories
from lading.web.paging import Page, Paging


@dataclass(frozen=True, slots=True)
class Granted:
    """A team with its role on some resource, and whether the caller is in it."""

    team: StoredTeam
    role: str
    is_member: bool


def _teams(resource: str, account_id: str | None) -> Select[Any]:
    mine = (
        select(team_members.c.account_id)
        .where(team_members.c.team_id == teams.c.id, team_members.c.account_id == (account_id or ""))
        .correlate_except(team_members)
        .exists()
    )
    held = and_(grants.c.subject_kind == TEAM, grants.c.subject_id == teams.c.id, grants.c.resource == resource)
    return select(*TEAM_COLUMNS, grants.c.role, mine).join(grants, held)


def _granted(row: Any) -> Granted:
    *team, role, is_member = row
    return Granted(StoredTeam(*team), role, bool(is_member))


async def page_of_teams(database: Database, resource: str, account_id: str | None, paging: Paging) -> Page[Granted]:
    """Teams with a role on exactly that resource, in order of their names."""
    wanted = _teams(resource, account_id)
    async with database.read() as connection:
        asked = wanted.where(teams.c.name >= paging.start).order_by(teams.c.name).limit(paging.size + 1)
        found = [_granted(row) for row in await connection.execute(asked)]
        total = await _count(connection, wanted) if paging.count else None
    more = found[paging.size].team.name if len(found) > paging.size else None
    return Page(found[: paging.size], more, total)


async def one_team(database: Database, resource: str, team_id: str, account_id: str | None) -> Granted | None:
    """The team's role on exactly that resource."""
    async with database.read() as connection:
        row = (await connection.execute(_teams(resource, account_id).where(teams.c.id == team_id))).one_or_none()
    return None if row is None else _granted(row)


async def page_of_repositories(database: Database, team_id: str, paging: Paging) -> Page[tuple[StoredRepository, str]]:
    """The repositories on which the team was granted a role by name, in order of their whole names, and the role."""
    held = and_(grants.c.subject_kind == TEAM, grants.c.subject_id == team_id)
    wanted = joined_repositories(grants.c.role).join(grants, grants.c.resource == repositories.c.full_name).where(held)
    async with database.read() as connection:
        asked = wanted.where(grants.c.resource >= paging.start).order_by(grants.c.resource).limit(paging.size + 1)
        width = len(REPOSITORY_COLUMNS)
        found = [(repository_of(row[:width]), row[width]) for row in await connection.execute(asked)]
        total = await _count(connection, wanted) if paging.count else None
    more = found[paging.size][0].name.text if len(found) > paging.size else None
    return Page(found[: paging.size], more, total)


async def _count(connection: AsyncConnection, wanted: Select[Any]) -> int:
    return int(await connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0)
