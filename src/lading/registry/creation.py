"""Making a repository: the row and its event, in the caller's unit of work."""

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Visibility
from lading.core.names import RepositoryName
from lading.database.upserts import upsert
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry.tables import repositories


async def create_repository(
    unit: AsyncConnection,
    name: RepositoryName,
    *,
    by: str | None,
    now: datetime,
    visibility: Visibility = Visibility.PRIVATE,
) -> str:
    """The repository's id; made, with default settings, when it was not there. May be repeated."""
    repository_id = str(uuid.uuid4())
    values = {
        "id": repository_id,
        "full_name": name.text,
        "namespace": name.namespace,
        "visibility": visibility.value,
        "immutable_tags": False,
        "scan_on_push": False,
        "enable_manifest_lists": False,
        "tag_limit": 0,
        "pulls": 0,
        "pushes": 0,
        "created_at": now,
        "updated_at": now,
    }
    made = await unit.execute(upsert(unit)(repositories).values(values).on_conflict_do_nothing())
    if not made.rowcount:
        existing: str = (
            await unit.execute(select(repositories.c.id).where(repositories.c.full_name == name.text))
        ).scalar_one()
        return existing
    await record(
        unit,
        now,
        Event(
            EventType.CREATE,
            Actor.account(by),
            ObjectType.REPOSITORY,
            repository_id,
            object_name=name.text,
            repository=name.text,
        ),
    )
    return repository_id
