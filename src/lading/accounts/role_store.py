"""The SQL of roles that an administrator defined."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.accounts.tables import grants, roles
from lading.database.upserts import upsert


@dataclass(frozen=True, slots=True)
class StoredRole:
    """A role, and the words of its permissions in order."""

    name: str
    description: str
    permissions: tuple[str, ...]
    is_built_in: bool


async def list_roles(connection: AsyncConnection) -> list[StoredRole]:
    """Those that were defined, in order of their names."""
    found = await connection.execute(
        select(roles.c.name, roles.c.description, roles.c.permissions).order_by(roles.c.name)
    )
    return [StoredRole(row[0], row[1], tuple(row[2].split()), is_built_in=False) for row in found]


async def find_role(connection: AsyncConnection, name: str) -> StoredRole | None:
    wanted = select(roles.c.name, roles.c.description, roles.c.permissions).where(roles.c.name == name)
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else StoredRole(row[0], row[1], tuple(row[2].split()), is_built_in=False)


async def put_role(unit: AsyncConnection, role: StoredRole, now: datetime) -> None:
    values = {"description": role.description, "permissions": " ".join(role.permissions), "updated_at": now}
    adding = upsert(unit)(roles).values(name=role.name, created_at=now, **values)
    await unit.execute(adding.on_conflict_do_update(index_elements=["name"], set_=values))


async def is_granted(connection: AsyncConnection, name: str) -> bool:
    return await connection.scalar(select(grants.c.resource).where(grants.c.role == name).limit(1)) is not None


async def delete_role(unit: AsyncConnection, name: str) -> bool:
    return bool((await unit.execute(delete(roles).where(roles.c.name == name))).rowcount)
