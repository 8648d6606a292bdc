"""The SQL of syncs: whole sets at a time, never a statement per account."""

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.directories import DirectoryUser
from lading.accounts.directories.ldap_settings import MemberSync
from lading.accounts.sync_plan import KnownAccount, MemberPlan
from lading.accounts.tables import accounts, member_syncs, memberships, team_members, teams
from lading.database.upserts import upsert

ADMINS = "admins"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the directory says who belongs: `team:ID`, `owners:ORGANIZATION ID`, or `admins`. `name` is for people."""

    id: str
    name: str
    options: MemberSync
    organization_id: str | None = None
    organization: str = ""

    @property
    def kind(self) -> str:
        return self.id.partition(":")[0]

    @property
    def key(self) -> str:
        return self.id.partition(":")[2]


async def list_targets(connection: AsyncConnection) -> list[Target]:
    """Teams and owners whose sync is on, in order of their names."""
    organization = accounts.alias()
    wanted = (
        select(member_syncs.c.target, member_syncs.c.options, organization.c.id, organization.c.name, teams.c.name)
        .join(organization, organization.c.id == member_syncs.c.organization_id)
        .outerjoin(teams, member_syncs.c.target == "team:" + teams.c.id)
        .order_by(organization.c.name, teams.c.name)
    )
    found = []
    for target, options, organization_id, name, team in await connection.execute(wanted):
        sync = MemberSync.model_validate(json.loads(options).get("sync", {}))
        if sync.is_on:
            title = f"{name}/{team}" if team is not None else f"owners of {name}"
            found.append(Target(target, title, sync, organization_id, name))
    return found


async def has_targets(connection: AsyncConnection) -> bool:
    """The directory says who belongs somewhere."""
    return await connection.scalar(select(member_syncs.c.target).limit(1)) is not None


async def is_there(connection: AsyncConnection, target: Target) -> bool:
    """False when the team, or the organization, was deleted meanwhile."""
    match target.kind:
        case "team":
            return await connection.scalar(select(teams.c.id).where(teams.c.id == target.key)) is not None
        case "owners":
            return await connection.scalar(select(accounts.c.id).where(accounts.c.id == target.key)) is not None
        case _:
            return True


async def list_accounts(connection: AsyncConnection) -> dict[str, KnownAccount]:
    """All accounts, by their names."""
    columns = (
        accounts.c.id,
        accounts.c.name,
        accounts.c.directory,
        accounts.c.directory_id,
        accounts.c.full_name,
        accounts.c.is_active,
    )
    return {row[1]: KnownAccount(*row) for row in await connection.execute(select(*columns))}


async def list_ids(connection: AsyncConnection, directory: str) -> Sequence[tuple[str, str]]:
    """Active accounts of the directory: their ids here and there."""
    wanted = select(accounts.c.id, accounts.c.directory_id).where(
        accounts.c.directory == directory, accounts.c.is_active, accounts.c.directory_id.is_not(None)
    )
    return [(row[0], row[1]) for row in await connection.execute(wanted)]


async def forget_places(unit: AsyncConnection, directory: str, places: Collection[str]) -> None:
    """No account lies there: someone is called otherwise by now, or has moved to where another one was."""
    # One statement with many parameters, each along the index; with a long list PostgreSQL would compare all with all.
    leaving = (
        update(accounts)
        .where(accounts.c.directory == directory, accounts.c.directory_id == bindparam("place"))
        .values(directory_id=None)
    )
    await unit.execute(leaving, [{"place": place} for place in places])


async def add_users(
    unit: AsyncConnection, users: Sequence[DirectoryUser], directory: str, now: datetime
) -> list[tuple[str, str]]:
    """Ids and names of the accounts made; whoever got the name meanwhile keeps it."""
    rows = [
        {
            "id": str(uuid.uuid4()),
            "name": user.name,
            "full_name": user.full_name,
            "is_organization": False,
            "is_admin": False,
            "is_active": True,
            "credential_epoch": 0,
            "created_at": now,
            "updated_at": now,
            "directory": directory,
            "directory_id": user.id,
            "on_demand": False,
        }
        for user in users
    ]
    await forget_places(unit, directory, [user.id for user in users])
    await unit.execute(upsert(unit)(accounts).on_conflict_do_nothing(), rows)
    made = select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_([row["id"] for row in rows]))
    return [(row[0], row[1]) for row in await unit.execute(made)]


async def update_users(
    unit: AsyncConnection, changes: Sequence[tuple[str, DirectoryUser]], directory: str, now: datetime
) -> None:
    """The accounts are called so, lie there, and are active."""
    changing = (
        update(accounts)
        .where(accounts.c.id == bindparam("account"))
        .values(
            full_name=bindparam("full"), directory_id=bindparam("place"), is_active=True, updated_at=bindparam("now")
        )
    )
    rows = [{"account": key, "full": user.full_name, "place": user.id, "now": now} for key, user in changes]
    # Two may have changed places: nobody's place is taken while they move.
    await forget_places(unit, directory, [user.id for _, user in changes])
    await unit.execute(changing, rows)


async def deactivate_users(unit: AsyncConnection, ids: Collection[str], now: datetime) -> set[str]:
    """Which of them are shut out now: all but the last administrator. That a sync did it tells their missing place."""
    administrators = select(func.count()).where(
        accounts.c.is_admin, accounts.c.is_active, ~accounts.c.is_organization, accounts.c.id.not_in(list(ids))
    )
    going = set(ids)
    if not await unit.scalar(administrators):
        kept = select(accounts.c.id).where(accounts.c.id.in_(list(ids)), accounts.c.is_admin).order_by(accounts.c.name)
        going -= set(await unit.scalars(kept.limit(1)))
    await unit.execute(
        update(accounts)
        .where(accounts.c.id.in_(list(going)))
        .values(is_active=False, directory_id=None, credential_epoch=accounts.c.credential_epoch + 1, updated_at=now)
    )
    return going


async def present(connection: AsyncConnection, target: Target, directory: str) -> set[str]:
    """The directory's accounts that are in the target now. Others are nobody's business here."""
    from_there: ColumnElement[bool] = accounts.c.directory == directory
    match target.kind:
        case "team":
            wanted = (
                select(team_members.c.account_id)
                .join(accounts, accounts.c.id == team_members.c.account_id)
                .where(team_members.c.team_id == target.key, from_there)
            )
        case "owners":
            wanted = (
                select(memberships.c.account_id)
                .join(accounts, accounts.c.id == memberships.c.account_id)
                .where(memberships.c.organization_id == target.key, memberships.c.is_admin, from_there)
            )
        case _:
            wanted = select(accounts.c.id).where(accounts.c.is_admin, from_there)
    return set(await connection.scalars(wanted))


async def carry_out(unit: AsyncConnection, target: Target, plan: MemberPlan, now: datetime) -> str | None:
    """Those are in, and those are out. The name of the one administrator who stays, since there would be none else."""
    match target.kind:
        case "team":
            await _join(unit, target.organization_id or "", plan.add, now)
            rows = [{"team_id": target.key, "account_id": key, **_imported(now)} for key in sorted(plan.add)]
            if rows:
                await unit.execute(insert(team_members), rows)
            for some in _parts(plan.remove):
                await unit.execute(
                    delete(team_members).where(
                        team_members.c.team_id == target.key, team_members.c.account_id.in_(some)
                    )
                )
        case "owners":
            await _join(unit, target.key, plan.add, now)
            for ids, is_admin in ((plan.add, True), (plan.remove, False)):
                for some in _parts(ids):
                    await unit.execute(
                        update(memberships)
                        .where(memberships.c.organization_id == target.key, memberships.c.account_id.in_(some))
                        .values(is_admin=is_admin)
                    )
        case _:
            return await _change_admins(unit, plan, now)
    return None


async def _change_admins(unit: AsyncConnection, plan: MemberPlan, now: datetime) -> str | None:
    for some in _parts(plan.add):
        await unit.execute(update(accounts).where(accounts.c.id.in_(some)).values(is_admin=True, updated_at=now))
    going, administrators = set(plan.remove), (accounts.c.is_admin, accounts.c.is_active, ~accounts.c.is_organization)
    found = await unit.execute(select(accounts.c.id, accounts.c.name).where(*administrators).order_by(accounts.c.name))
    names = {row[0]: row[1] for row in found}
    kept = next(iter(names), None) if going.issuperset(names) else None
    going.discard(kept or "")
    for some in _parts(going):
        await unit.execute(update(accounts).where(accounts.c.id.in_(some)).values(is_admin=False, updated_at=now))
    return None if kept is None else names[kept]


async def leave_organizations(unit: AsyncConnection, organization_id: str, directory: str) -> int:
    """How many left the organization, whom only the sync of a team, or of its owners, had put there."""
    in_a_team = (
        select(team_members.c.account_id)
        .join(teams, teams.c.id == team_members.c.team_id)
        .where(teams.c.organization_id == organization_id)
    )
    of_the_directory = select(accounts.c.id).where(accounts.c.directory == directory)
    gone = await unit.execute(
        delete(memberships).where(
            memberships.c.organization_id == organization_id,
            memberships.c.is_imported,
            ~memberships.c.is_admin,
            memberships.c.account_id.in_(of_the_directory),
            memberships.c.account_id.not_in(in_a_team),
        )
    )
    return int(gone.rowcount)


async def keep_by_hand(unit: AsyncConnection, target: str, organization_id: str) -> None:
    """Whom the target's sync put there stays, as if put there by hand: it is switched off."""
    kind, _, key = target.partition(":")
    if kind == "team":
        of_the_team = team_members.c.team_id == key
        await unit.execute(update(team_members).where(of_the_team).values(is_imported=False))
        inside = select(team_members.c.account_id).where(of_the_team)
    else:
        inside = select(memberships.c.account_id).where(
            memberships.c.organization_id == organization_id, memberships.c.is_admin
        )
    await unit.execute(
        update(memberships)
        .where(memberships.c.organization_id == organization_id, memberships.c.account_id.in_(inside))
        .values(is_imported=False)
    )


async def _join(unit: AsyncConnection, organization_id: str, ids: Collection[str], now: datetime) -> None:
    rows = [{"organization_id": organization_id, "account_id": key, **_imported(now)} for key in sorted(ids)]
    if rows:
        await unit.execute(upsert(unit)(memberships).on_conflict_do_nothing(), rows)


def _imported(now: datetime) -> dict[str, object]:
    return {"is_admin": False, "is_imported": True, "created_at": now}


def _parts(ids: Collection[str]) -> list[list[str]]:
    ordered = sorted(ids)
    return [ordered[start : start + 500] for start in range(0, len(ordered), 500)]
