"""Giving roles on repositories to accounts, teams and everyone, and defining roles. Every change is an event.

Rules: a grant in a namespace goes to users, to teams of the organization that owns it, or to everyone; only system
administrators grant on all namespaces (`*`). Nobody gives or takes the role `owner`: it comes with what one owns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from lading.access import Permission
from lading.access.grants import EVERYTHING, check_pattern
from lading.access.roles import GRANTABLE, LEVELS, Role
from lading.accounts import grant_store, role_store
from lading.accounts.errors import (
    AccountUnknownError,
    GrantUnknownError,
    RoleInUseError,
    RoleInvalidError,
    RoleUnknownError,
)
from lading.accounts.grant_store import OWNERS, StoredGrant, Subject
from lading.accounts.role_store import StoredRole
from lading.core.clock import Clock
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record

_ROLE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_LISTED = 10_000


@dataclass(frozen=True)
class Granting:
    """The use cases of grants and roles; who may call them is the doors' question to `access.decide`."""

    database: Database
    clock: Clock

    async def put(self, resource: str, subject: Subject, role: str, *, by: Actor) -> StoredGrant:
        """The subject has that role on the resource, instead of another it had.

        Errors: PatternInvalidError, RoleUnknownError, AccountUnknownError for a namespace that is not there.
        """
        check_pattern(resource)
        now = self.clock.now()
        try:
            async with self.database.write() as unit:
                if role not in {level.value for level in LEVELS} and await role_store.find_role(unit, role) is None:
                    raise RoleUnknownError(role)
                await grant_store.put_grant(unit, resource, subject, role, by=by.id or None, now=now)
                await record(unit, now, _event(EventType.CREATE, by, resource, subject, role))
        except IntegrityError as error:
            raise AccountUnknownError(resource.partition("/")[0]) from error
        return StoredGrant(resource, subject, role, now)

    async def remove(self, resource: str, subject: Subject, *, by: Actor) -> None:
        """The subject has no role of its own on the resource. Errors: GrantUnknownError."""
        async with self.database.write() as unit:
            known = await grant_store.find_grant(unit, resource, subject)
            if known is None or subject.kind == OWNERS:
                raise GrantUnknownError
            await grant_store.delete_grant(unit, resource, subject)
            await record(unit, self.clock.now(), _event(EventType.DELETE, by, resource, subject, known.role))

    async def on(self, namespace: str) -> list[tuple[StoredGrant, str]]:
        """Grants in the namespace (`*`: those on all), with their subjects' names, in order of resources."""
        async with self.database.read() as connection:
            return await grant_store.list_grants_on(
                connection, None if namespace == EVERYTHING else namespace, limit=_LISTED
            )

    # --- roles ---

    async def roles(self) -> list[StoredRole]:
        """The built-in roles that can be given, and those that were defined, in order of their names."""
        built_in = [
            StoredRole(role.value, "built-in", tuple(sorted(role.permissions)), is_built_in=True) for role in LEVELS
        ]
        async with self.database.read() as connection:
            return [*built_in, *await role_store.list_roles(connection)]

    async def put_role(self, name: str, description: str, permissions: Sequence[str], *, by: Actor) -> StoredRole:
        """The role has these permissions, for all who hold it, at once. Errors: RoleInvalidError."""
        if _ROLE_NAME.fullmatch(name) is None or name in set(Role):
            raise RoleInvalidError(
                f"{name[:64]!r} can't be a role's name: want up to 64 lower-case letters, digits and '-', and no built-in one"
            )
        wrong = sorted(set(permissions) - {permission.value for permission in GRANTABLE})
        if wrong or not permissions:
            known = ", ".join(sorted(GRANTABLE))
            raise RoleInvalidError(
                f"a role is made of {known}" + (f"; not of {', '.join(wrong)[:200]}" if wrong else "")
            )
        # Whoever holds any role on a repository may view it: said here, too, so that nobody has to know.
        made = StoredRole(name, description, tuple(sorted({*permissions, Permission.VIEW.value})), is_built_in=False)
        now = self.clock.now()
        async with self.database.write() as unit:
            await role_store.put_role(unit, made, now)
            content = " ".join(made.permissions)
            await record(
                unit, now, Event(EventType.UPDATE, by, ObjectType.ROLE, name, object_name=name, content=content)
            )
        return made

    async def delete_role(self, name: str, *, by: Actor) -> None:
        """The role is gone. Errors: RoleUnknownError; RoleInUseError while someone holds it."""
        async with self.database.write() as unit:
            if await role_store.is_granted(unit, name):
                raise RoleInUseError(name)
            if not await role_store.delete_role(unit, name):
                raise RoleUnknownError(name)
            await record(unit, self.clock.now(), Event(EventType.DELETE, by, ObjectType.ROLE, name, object_name=name))


def _event(kind: EventType, by: Actor, resource: str, subject: Subject, role: str) -> Event:
    whole = "*" not in resource
    return Event(
        kind,
        by,
        ObjectType.GRANT,
        f"{subject.kind}:{subject.id}",
        object_name=resource[:255],
        repository=resource if whole else "",
        content=role,
    )
