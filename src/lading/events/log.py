"""Writing events. Call it inside the unit of work that does what the event tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.events.tables import events


class EventType(StrEnum):
    """DTR's words. Source: DTR reference 3.3."""

    CREATE = "CREATE"
    GET = "GET"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    FAIL = "FAIL"


class ObjectType(StrEnum):
    """What an event is about. DTR's words, and ours for what it kept elsewhere (accounts, settings)."""

    REPOSITORY = "REPOSITORY"
    TAG = "TAG"
    MANIFEST = "MANIFEST"
    BLOB = "BLOB"
    ACCOUNT = "ACCOUNT"
    API_TOKEN = "API_TOKEN"  # noqa: S105 — the word, not a token
    SETTINGS = "SETTINGS"
    TEAM = "TEAM"
    MEMBER = "MEMBER"
    GRANT = "GRANT"
    ROLE = "ROLE"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: an account's id, a job's id, or the system itself."""

    type: str
    id: str

    @classmethod
    def account(cls, account_id: str | None) -> "Actor":
        return cls("account", account_id) if account_id is not None else cls("anonymous", "")


SYSTEM = Actor("system", "")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `object_id` is a repository's or account's id, a tag's name or a digest."""

    type: EventType
    actor: Actor
    object_type: ObjectType
    object_id: str
    object_name: str = ""
    repository: str = ""
    content: str = ""


async def record(unit: AsyncConnection, now: datetime, *happened: Event) -> None:
    """The events are in the log when the unit of work is committed, and not otherwise."""
    rows: Sequence[dict[str, object]] = [
        {
            "published_at": now,
            "type": event.type.value,
            "actor_type": event.actor.type,
            "actor": event.actor.id,
            "repository": event.repository,
            "object_type": event.object_type.value,
            "object_id": event.object_id,
            "object_name": event.object_name,
            "content": event.content,
        }
        for event in happened
    ]
    if rows:
        await unit.execute(insert(events), rows)
