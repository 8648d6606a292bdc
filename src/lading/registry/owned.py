"""What the registry keeps in a namespace, for the deletion of its account: `accounts.account_deletion.OwnedThings`."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry.repositories import check_deletes
from lading.registry.repository_store import in_namespace
from lading.registry.switches import CurrentSwitches
from lading.registry.tables import repositories


@dataclass(frozen=True)
class OwnedRepositories:
    """The repositories of a namespace."""

    switches: CurrentSwitches

    async def owns(self, unit: AsyncConnection, namespace: str) -> bool:
        return await unit.scalar(select(repositories.c.id).where(in_namespace(namespace)).limit(1)) is not None

    async def delete(self, unit: AsyncConnection, namespace: str, *, by: Actor, now: datetime) -> None:
        """Errors: DisabledError while nothing may be deleted."""
        check_deletes(self.switches)
        gone = (
            await unit.execute(
                delete(repositories)
                .where(in_namespace(namespace))
                .returning(repositories.c.id, repositories.c.full_name)
            )
        ).all()
        told = [
            Event(
                EventType.DELETE, by, ObjectType.REPOSITORY, row.id, object_name=row.full_name, repository=row.full_name
            )
            for row in gone
        ]
        await record(unit, now, *told)
