"""Pages of the repositories that a caller may view, as fast for who sees ten of a hundred thousand as for who sees all.

A stretch of the list (of those with the word in it) is walked, asking of each whether it is seen: whoever sees much finds a
page there. When it holds too few, the page is made of what is seen by each reason: public ones, one's own, granted by name,
granted with their namespace or by a pattern; each reason gives its first ones, in order, along an index.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, literal, select, true, union
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Principal, Visibility
from lading.access.grants import EVERYTHING
from lading.accounts.grant_store import EVERYONE, OWNERS, TEAM, USER
from lading.accounts.tables import grants, memberships, team_members
from lading.database import Database
from lading.database.functions import holds, like_pattern
from lading.registry import repository_store
from lading.registry.repository_store import StoredRepository, in_namespace
from lading.registry.store import is_like, visible_to
from lading.registry.tables import repositories
from lading.web.paging import Page, Paging

_STRETCH = 1000
_PATTERNS = 50
_name = repositories.c.full_name


async def page_of_visible(
    database: Database,
    principal: Principal,
    namespace: str | None,
    paging: Paging,
    *,
    anonymous_access: bool,
    contains: str = "",
) -> Page[StoredRepository]:
    """Those that the caller may view, in order of their whole names; of one namespace, or with a word in it, when given."""
    where = visible_to(principal, anonymous_access=anonymous_access)
    if contains:
        where = and_(where, _with(contains, _name))
    if namespace is not None:
        where = and_(where, in_namespace(namespace))
    async with database.read() as connection:
        asked = _Asked(principal, namespace, where, contains)
        found = await _first(connection, asked, start=paging.start, limit=paging.size + 1)
        total = await repository_store.count_repositories(connection, where) if paging.count else None
    more = found[paging.size].name.text if len(found) > paging.size else None
    return Page(found[: paging.size], more, total)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is looked for. `where` is all of it."""

    principal: Principal
    namespace: str | None
    where: ColumnElement[bool]
    contains: str


def _with(word: str, name: ColumnElement[str]) -> ColumnElement[bool]:
    return holds(name, like_pattern(word.lower())) if word else true()


async def _first(connection: AsyncConnection, asked: _Asked, *, start: str, limit: int) -> list[StoredRepository]:
    principal, where = asked.principal, asked.where
    if principal.is_anonymous or principal.is_admin or asked.namespace is not None or principal.narrowing is not None:
        return await repository_store.list_repositories(connection, where, start=start, limit=limit)
    stretch = select(_name).where(_name >= start, _with(asked.contains, _name)).order_by(_name).limit(_STRETCH + 1)
    names = list(await connection.scalars(stretch))
    end = names[_STRETCH] if len(names) > _STRETCH else None
    # Few names hold the word: they are looked up, not searched for again.
    within = and_(where, _name.in_(names[:_STRETCH]) if asked.contains else _name < end if end else true())
    found = await repository_store.list_repositories(connection, within, start=start, limit=limit)
    if end is None or len(found) == limit:
        return found
    rest = limit - len(found)
    reasons = [
        select(_name).where(reason, _with(asked.contains, _name)) for reason in await _reasons(connection, asked)
    ]
    firsts = [reason.where(_name >= end).order_by(_name).limit(rest).subquery() for reason in reasons]
    named = and_(grants.c.resource >= end, _with(asked.contains, grants.c.resource))
    by_name = _granted_by_name(principal).where(named).order_by(grants.c.resource).limit(rest)
    candidates = union(*(select(first.c[0]) for first in [*firsts, by_name.subquery()])).subquery()
    seen = and_(where, _name.in_(select(candidates.c[0])))
    return [*found, *await repository_store.list_repositories(connection, seen, start=end, limit=rest)]


async def _reasons(connection: AsyncConnection, asked: _Asked) -> list[ColumnElement[bool]]:
    """Why repositories are seen, but for grants on them by name."""
    public: ColumnElement[bool] = repositories.c.visibility == Visibility.PUBLIC.value
    wide = _held(asked.principal, grants.c.resource).where(_WIDE).distinct().limit(_PATTERNS + 1)
    patterns = list(await connection.scalars(wide))
    if len(patterns) > _PATTERNS:
        return [asked.where]
    return [public, in_namespace(asked.principal.name), *map(_matched, patterns)]


def _matched(pattern: str) -> ColumnElement[bool]:
    if pattern == EVERYTHING:
        return true()
    namespace, _, name = pattern.partition("/")
    return in_namespace(namespace) if name == "*" else and_(in_namespace(namespace), is_like(_name, pattern))


_WIDE = grants.c.resource.like("%*%")


def _subjects(principal: Principal) -> CompoundSelect[Any]:
    """Whose grants the caller holds: kinds and ids."""
    account = literal(principal.account_id)
    return union(
        select(literal(USER), account),
        select(literal(EVERYONE), literal("")),
        select(literal(TEAM), team_members.c.team_id).where(team_members.c.account_id == account),
        select(literal(OWNERS), memberships.c.organization_id).where(
            memberships.c.account_id == account, memberships.c.is_admin
        ),
    )


def _held(principal: Principal, *columns: ColumnElement[Any]) -> Select[Any]:
    mine = _subjects(principal).subquery()
    return select(*columns).join(mine, and_(grants.c.subject_kind == mine.c[0], grants.c.subject_id == mine.c[1]))


def _granted_by_name(principal: Principal) -> Select[Any]:
    return _held(principal, grants.c.resource).where(~_WIDE)
