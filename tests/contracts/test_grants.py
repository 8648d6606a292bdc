"""Who may what, as the database tells it, against an oracle that reads the whole world; over both databases.

Worlds are random, of a known seed: users, organizations with owners and teams, repositories, grants of all kinds.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Grant, Permission, Principal, Repository, Role, Visibility, decide
from lading.accounts import tables
from lading.accounts.grant_store import EVERYONE, OWNERS, TEAM, USER, Subject, put_grant
from lading.accounts.rights import Rights
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry import repository_store, visible_store
from lading.registry.points import Asker, RegistryPoints
from lading.registry.store import visible_to
from lading.registry.tables import repositories
from lading.registry.visible_store import page_of_visible
from lading.web.paging import Paging

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLES = (*(role.value for role in (Role.READ_ONLY, Role.READ_WRITE, Role.ADMIN)), "puller")
PERMISSIONS = {role.value: role.permissions for role in Role} | {"puller": frozenset({Permission.PULL})}
NAMES = ("app", "base-one", "base_one", "deep/app")


@dataclass
class World:
    """All there is. Ids are names, of teams `ORGANIZATION/NAME`."""

    dice: random.Random
    users: list[str] = field(default_factory=lambda: [f"u{number}" for number in range(6)])
    organizations: list[str] = field(default_factory=lambda: ["acme", "acm", "zeta"])
    owners: dict[str, set[str]] = field(default_factory=dict)
    teams: dict[str, set[str]] = field(default_factory=dict)
    repositories: dict[str, Visibility] = field(default_factory=dict)
    grants: dict[tuple[str, Subject], str] = field(default_factory=dict)

    @classmethod
    def of(cls, seed: int) -> "World":
        return cls(random.Random(seed))  # noqa: S311 — the same world each time

    def __post_init__(self) -> None:
        dice = self.dice
        for organization in self.organizations:
            self.owners[organization] = {user for user in self.users if dice.random() < 0.15}
            self.grants[(f"{organization}/*", Subject(OWNERS, organization))] = Role.OWNER.value
            for team in ("red", "blue"):
                self.teams[f"{organization}/{team}"] = {user for user in self.users if dice.random() < 0.3}
        namespaces = [*self.users, *self.organizations]
        for namespace in namespaces:
            for name in NAMES:
                if dice.random() < 0.6:
                    self.repositories[f"{namespace}/{name}"] = dice.choice([*Visibility, Visibility.PRIVATE])
        subjects = [
            Subject(EVERYONE),
            *(Subject(USER, user) for user in self.users),
            *(Subject(TEAM, team) for team in self.teams),
        ]
        for _ in range(25):
            rest = dice.choice([*NAMES, "*", "base*", "*app", "b*_o*"])
            resource = f"{dice.choice(namespaces)}/{rest}" if dice.random() > 0.02 else "*"
            self.grants[(resource, dice.choice(subjects))] = dice.choice(ROLES)

    def may(self, user: str, permission: Permission, name: str) -> bool:
        """The rules, read aloud over the whole world."""
        namespace = name.partition("/")[0]
        if user == namespace and permission in Role.OWNER.permissions:
            return True
        if self.repositories.get(name) is Visibility.PUBLIC and permission in {Permission.VIEW, Permission.PULL}:
            return True
        for (resource, subject), role in self.grants.items():
            holds = {
                EVERYONE: True,
                USER: subject.id == user,
                TEAM: user in self.teams.get(subject.id, ()),
                OWNERS: user in self.owners.get(subject.id, ()),
            }[subject.kind]
            gives = permission in PERMISSIONS[role] or permission is Permission.VIEW
            if holds and gives and fnmatchcase(name, resource):
                return True
        return False

    async def write(self, unit: AsyncConnection) -> None:
        moments = {"created_at": NOW, "updated_at": NOW}
        kinds = [(name, False) for name in self.users] + [(name, True) for name in self.organizations]
        accounts = [
            {"id": name, "name": name, "is_organization": is_organization, "full_name": "", **moments}
            for name, is_organization in kinds
        ]
        common = {"is_admin": False, "is_active": True, "credential_epoch": 0}
        await unit.execute(insert(tables.accounts), [{**account, **common} for account in accounts])
        for organization, owners in self.owners.items():
            members = owners | set().union(*(self.teams[f"{organization}/{team}"] for team in ("red", "blue")))
            for user in sorted(members):
                row = {"organization_id": organization, "account_id": user, "is_admin": user in owners}
                await unit.execute(insert(tables.memberships).values(**row, is_imported=False, created_at=NOW))
        for team, members in self.teams.items():
            organization, _, name = team.partition("/")
            row = {"id": team, "organization_id": organization, "name": name, "description": ""}
            await unit.execute(insert(tables.teams).values(**row, **moments))
            for user in sorted(members):
                member = {"team_id": team, "account_id": user, "is_admin": False, "is_imported": False}
                await unit.execute(insert(tables.team_members).values(**member, created_at=NOW))
        await unit.execute(
            insert(tables.roles).values(name="puller", permissions=Permission.PULL.value, description="", **moments)
        )
        for name, visibility in self.repositories.items():
            row = {"id": name, "full_name": name, "namespace": name.partition("/")[0], "visibility": visibility.value}
            await unit.execute(insert(repositories).values(**row, **moments))
        for (resource, subject), role in self.grants.items():
            await put_grant(unit, resource, subject, role, by=None, now=NOW)

    def principals(self) -> Iterator[Principal]:
        return (Principal(user, user) for user in self.users)


@pytest.mark.parametrize("seed", range(4))
async def test_the_database_and_the_decision_agree_with_the_world(database: Database, seed: int) -> None:
    world = World.of(seed)
    async with database.write() as unit:
        await world.write(unit)
    rights, points = Rights(database.points), RegistryPoints(database.points)
    for principal in world.principals():
        for text, visibility in world.repositories.items():
            name = RepositoryName.parse(text)
            resource = Repository(name.namespace, name.name, visibility)
            holder = await rights.about(principal, name.namespace, name.name)
            asked = await points.repository(Asker(principal.account_id), name)
            assert asked.principal is not None
            for permission in Permission:
                expected = world.may(principal.name, permission, text)
                assert bool(decide(holder, permission, resource)) is expected, (principal.name, permission, text)
                assert bool(decide(asked.principal, permission, asked.resource)) is expected


@pytest.mark.parametrize("seed", range(4))
async def test_a_list_shows_what_the_decision_lets_one_view(database: Database, seed: int) -> None:
    world = World.of(seed)
    async with database.write() as unit:
        await world.write(unit)
    narrowings = (None, (), (Grant("acme/*", Role.READ_ONLY.permissions),), (Grant("*/b*_o*", frozenset()),))
    for principal in world.principals():
        seen = [name for name in sorted(world.repositories) if world.may(principal.name, Permission.VIEW, name)]
        async with database.read() as connection:
            for narrowing in narrowings:
                narrowed = Principal(principal.account_id, principal.name, narrowing=narrowing)
                visible = visible_to(narrowed, anonymous_access=True)
                found = await repository_store.list_repositories(connection, visible, start="", limit=1000)
                expected = [
                    name
                    for name in seen
                    if narrowing is None
                    or world.repositories[name] is Visibility.PUBLIC
                    or any(grant.covers(name) for grant in narrowing)
                ]
                assert [item.name.text for item in found] == expected, (principal.name, narrowing)


@pytest.mark.parametrize("size", [1, 3, 4, 7])
async def test_pages_of_a_list_make_up_the_whole(
    database: Database, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible_store, "_STRETCH", 3)  # so that most pages need more than the stretch
    world = World.of(size)
    async with database.write() as unit:
        await world.write(unit)
    for principal in world.principals():
        names, start = list[str](), ""
        while True:
            page = await page_of_visible(
                database, principal, None, Paging(size, start, count=False), anonymous_access=True
            )
            names += [item.name.text for item in page.items]
            if page.next_start is None:
                break
            start = page.next_start
        assert names == [
            name for name in sorted(world.repositories) if world.may(principal.name, Permission.VIEW, name)
        ]
