"""The SQL of grants: which speak of a repository and are held by an account, by itself, its teams, and what it owns.

A grant is found by its resource (`*`, `acme/*`, `acme/app`: three look-ups in the key) or, for the few that have a `*` inside
a name, by its namespace. So a question costs as much as a repository has grants, not as many as an account holds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, bindparam, delete, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Grant
from lading.access.grants import EVERYTHING, is_glob, permissions_of
from lading.accounts.tables import accounts, grants, memberships, roles, team_members, teams
from lading.database import Point
from lading.database.functions import lines
from lading.database.upserts import upsert

USER, TEAM, OWNERS, EVERYONE = "user", "team", "owners", "everyone"
"""Kinds of subjects. `everyone` is every account; anonymous callers hold no grant."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who holds a grant: the id is an account's, a team's or an organization's, empty for everyone."""

    kind: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class StoredGrant:
    """A grant as it was given. `role` is a built-in one's name or a custom one's."""

    resource: str
    subject: Subject
    role: str
    created_at: datetime


def held_by(account: ColumnElement[Any]) -> ColumnElement[bool]:
    """The grants that the account holds, as a condition on `grants`."""
    in_team = (
        select(team_members.c.team_id)
        .where(team_members.c.team_id == grants.c.subject_id, team_members.c.account_id == account)
        .correlate_except(team_members)
        .exists()
    )
    owns = (
        select(memberships.c.organization_id)
        .where(
            memberships.c.organization_id == grants.c.subject_id,
            memberships.c.account_id == account,
            memberships.c.is_admin,
        )
        .correlate_except(memberships)
        .exists()
    )
    return or_(
        and_(grants.c.subject_kind == USER, grants.c.subject_id == account),
        and_(grants.c.subject_kind == TEAM, in_team),
        and_(grants.c.subject_kind == OWNERS, owns),
        grants.c.subject_kind == EVERYONE,
    )


def speaks_of(namespace: ColumnElement[Any], full_name: ColumnElement[Any]) -> ColumnElement[bool]:
    """The grants that speak of the repository, or may: those with a `*` inside a name are looked at by the decision."""
    return or_(
        grants.c.resource.in_([literal(EVERYTHING), namespace + literal("/*"), full_name]),
        and_(grants.c.namespace == namespace, grants.c.is_glob),
    )


def grants_text(
    account: ColumnElement[Any], namespace: ColumnElement[Any], full_name: ColumnElement[Any]
) -> ScalarSelect[Any]:
    """The account's grants about the repository as one text, which `parse_grants` reads; NULL when there is none."""
    line = grants.c.role + literal("\t") + grants.c.resource + literal("\t") + func.coalesce(roles.c.permissions, "")
    return (
        select(lines(line))
        .select_from(grants.outerjoin(roles, roles.c.name == grants.c.role))
        .where(speaks_of(namespace, full_name), held_by(account))
        .correlate_except(grants, roles)
        .scalar_subquery()
    )


@lru_cache(maxsize=8192)
def parse_grants(text: str | None) -> tuple[Grant, ...]:
    """What `grants_text` gave, as values."""
    if not text:
        return ()
    told = (line.split("\t") for line in text.split("\n"))
    return tuple(Grant(resource, permissions_of(role, custom.split())) for role, resource, custom in told)


GRANTS_ABOUT = Point(
    select(grants_text(bindparam("account"), bindparam("namespace"), bindparam("full_name")).label("held"))
)


async def put_grant(
    unit: AsyncConnection, resource: str, subject: Subject, role: str, *, by: str | None, now: datetime
) -> None:
    """The subject has that role on the resource, and no other. Errors: IntegrityError when the namespace is gone."""
    adding = upsert(unit)(grants).values(
        resource=resource,
        subject_kind=subject.kind,
        subject_id=subject.id,
        namespace=None if resource == EVERYTHING else resource.partition("/")[0],
        is_glob=is_glob(resource),
        role=role,
        granted_by=by,
        created_at=now,
    )
    changed = {"role": role, "granted_by": by, "created_at": now}
    await unit.execute(
        adding.on_conflict_do_update(index_elements=["resource", "subject_kind", "subject_id"], set_=changed)
    )


def _of(subject: Subject) -> ColumnElement[bool]:
    return and_(grants.c.subject_kind == subject.kind, grants.c.subject_id == subject.id)


async def delete_grant(unit: AsyncConnection, resource: str, subject: Subject) -> bool:
    """True when there was one."""
    gone = await unit.execute(delete(grants).where(grants.c.resource == resource, _of(subject)))
    return bool(gone.rowcount)


async def delete_grants_of(unit: AsyncConnection, subjects: Collection[Subject]) -> None:
    """The subjects hold nothing any more."""
    for subject in subjects:
        await unit.execute(delete(grants).where(_of(subject)))


async def delete_grants_on(unit: AsyncConnection, resource: str) -> None:
    """Nobody holds anything on exactly that resource any more: its repository is gone."""
    await unit.execute(delete(grants).where(grants.c.resource == resource))


_GRANT = (grants.c.resource, grants.c.subject_kind, grants.c.subject_id, grants.c.role, grants.c.created_at)


def grant_of(row: Sequence[Any]) -> StoredGrant:
    resource, kind, subject, role, created_at = row[:5]
    return StoredGrant(resource, Subject(kind, subject), role, created_at)


async def find_grant(connection: AsyncConnection, resource: str, subject: Subject) -> StoredGrant | None:
    row = (await connection.execute(select(*_GRANT).where(grants.c.resource == resource, _of(subject)))).one_or_none()
    return None if row is None else grant_of(row)


async def list_grants_of(connection: AsyncConnection, subject: Subject, *, start: str, limit: int) -> list[StoredGrant]:
    """What the subject holds, from the resource `start` on, in order of resources."""
    wanted = select(*_GRANT).where(_of(subject), grants.c.resource >= start).order_by(grants.c.resource).limit(limit)
    return [grant_of(row) for row in await connection.execute(wanted)]


async def list_grants_on(
    connection: AsyncConnection, namespace: str | None, *, limit: int
) -> list[tuple[StoredGrant, str]]:
    """Grants in a namespace (None: those on all) with their subjects' names (a team's: ORGANIZATION/TEAM), by resource."""
    organization = accounts.alias()
    wanted = (
        select(*_GRANT, accounts.c.name, organization.c.name + literal("/") + teams.c.name)
        .select_from(
            grants.outerjoin(accounts, accounts.c.id == grants.c.subject_id)
            .outerjoin(teams, teams.c.id == grants.c.subject_id)
            .outerjoin(organization, organization.c.id == teams.c.organization_id)
        )
        .where(grants.c.namespace.is_(None) if namespace is None else grants.c.namespace == namespace)
        .order_by(grants.c.resource, grants.c.subject_kind, grants.c.subject_id)
        .limit(limit)
    )
    return [(grant_of(row), row[5] or row[6] or row[1]) for row in await connection.execute(wanted)]
