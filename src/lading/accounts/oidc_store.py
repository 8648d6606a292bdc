"""The SQL of sign-in by OpenID providers."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.accounts import Account
from lading.accounts.store import ACCOUNT_COLUMNS
from lading.accounts.tables import accounts, member_syncs, memberships, sign_in_settings, team_members, teams
from lading.database.upserts import upsert


@dataclass(frozen=True, slots=True)
class LinkedTeam:
    """A team that takes whoever is in a provider's group. `link` is that group, as is_linked reads it."""

    id: str
    title: str
    organization_id: str
    link: str


async def find_account_from(connection: AsyncConnection, directory: str, directory_id: str) -> Account | None:
    """The account that the directory knows by that id."""
    wanted = select(*ACCOUNT_COLUMNS).where(accounts.c.directory == directory, accounts.c.directory_id == directory_id)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else Account(*row)


async def linked_teams(connection: AsyncConnection) -> list[LinkedTeam]:
    """The teams whose link is on, in order of their titles."""
    organization = accounts.alias()
    wanted = (
        select(teams.c.id, teams.c.name, organization.c.id, organization.c.name, member_syncs.c.options)
        .join(teams, member_syncs.c.target == "team:" + teams.c.id)
        .join(organization, organization.c.id == teams.c.organization_id)
        .where(member_syncs.c.options.contains('"groupLink"'))
        .order_by(organization.c.name, teams.c.name)
    )
    found = []
    for team_id, name, organization_id, organization_name, options in await connection.execute(wanted):
        link = json.loads(options).get("groupLink") or {}
        if link.get("enableLink") is True and link.get("groupName"):
            found.append(LinkedTeam(team_id, f"{organization_name}/{name}", organization_id, str(link["groupName"])))
    return found


async def teams_of(connection: AsyncConnection, account_id: str) -> set[str]:
    """The ids of all teams that the account is in."""
    return set(await connection.scalars(select(team_members.c.team_id).where(team_members.c.account_id == account_id)))


async def join_team(unit: AsyncConnection, team: LinkedTeam, account_id: str, now: datetime) -> None:
    """The account is in the team and in its organization, by the provider's word."""
    row = {"account_id": account_id, "is_admin": False, "is_imported": True, "created_at": now}
    joined = upsert(unit)(memberships).values(organization_id=team.organization_id, **row)
    await unit.execute(joined.on_conflict_do_nothing())
    await unit.execute(upsert(unit)(team_members).values(team_id=team.id, **row).on_conflict_do_nothing())


async def leave_teams(unit: AsyncConnection, team_ids: Collection[str], account_id: str) -> None:
    """The account is in none of the teams; it stays in their organizations. Source: DTR reference 1.6."""
    await unit.execute(
        delete(team_members).where(team_members.c.account_id == account_id, team_members.c.team_id.in_(team_ids))
    )


async def find_settings_for_update(unit: AsyncConnection, name: str) -> str | None:
    """The sign-in settings of that name, which nobody else changes until the unit of work ends."""
    wanted = select(sign_in_settings.c.value).where(sign_in_settings.c.name == name).with_for_update()
    value: str | None = await unit.scalar(wanted)
    return value
