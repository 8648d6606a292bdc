"""Writing events. Call it inside the unit of work that does what the event tells.

Where it came from (address, user agent) is the request that is being answered; no use case passes it on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.events.tables import events
from lading.web.origin import Origin, current_origin

NAME_LIMIT = 255
CONTENT_LIMIT = 4096
_BATCH = 500  # rows of one statement


class EventType(StrEnum):
    """DTR's words, and ours for what it told nobody. Source: DTR reference 3.3."""

    CREATE = "CREATE"
    GET = "GET"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    SEND = "SEND"
    SCAN = "SCAN"
    FAIL = "FAIL"
    SIGN_IN = "SIGN_IN"
    SIGN_OUT = "SIGN_OUT"
    REFUSE = "REFUSE"  # a write that the caller had no right to


class ObjectType(StrEnum):
    """What an event is about. DTR's words, and ours for what it kept elsewhere (accounts, settings, jobs)."""

    REPOSITORY = "REPOSITORY"
    TAG = "TAG"
    MANIFEST = "MANIFEST"
    BLOB = "BLOB"
    WEBHOOK = "WEBHOOK"
    URI = "URI"
    PROMOTION = "PROMOTION"
    PUSH_MIRRORING = "PUSH_MIRRORING"
    POLL_MIRRORING = "POLL_MIRRORING"
    ACCOUNT = "ACCOUNT"
    ORGANIZATION = "ORGANIZATION"
    TEAM = "TEAM"
    MEMBER = "MEMBER"
    GRANT = "GRANT"
    ROLE = "ROLE"
    API_TOKEN = "API_TOKEN"  # noqa: S105 — the word, not a token
    PUBLIC_KEY = "PUBLIC_KEY"
    SESSION = "SESSION"
    DIRECTORY = "DIRECTORY"
    SETTINGS = "SETTINGS"
    JOB = "JOB"
    CRON = "CRON"
    ACTION_CONFIG = "ACTION_CONFIG"
    WORKER = "WORKER"
    EVENT = "EVENT"


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: an account's id, a job's id, or the system itself."""

    type: str
    id: str

    @classmethod
    def account(cls, account_id: str | None) -> "Actor":
        return cls("account", account_id) if account_id is not None else cls("anonymous", "")

    @classmethod
    def job(cls, job_id: str) -> "Actor":
        return cls("job", job_id)


SYSTEM = Actor("system", "")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `object_id` is a repository's or account's id, a tag's name or a digest.

    `at` and `origin` are given by what is told later than it happened; else they are the moment of the unit of work and
    the request that is being answered. Nothing secret is ever in an event.
    """

    type: EventType
    actor: Actor
    object_type: ObjectType
    object_id: str
    object_name: str = ""
    repository: str = ""
    content: str = ""
    outcome: Outcome = Outcome.DONE
    at: datetime | None = None
    origin: Origin | None = None


async def record(unit: AsyncConnection, now: datetime, *happened: Event) -> None:
    """The events are in the log when the unit of work is committed, and not otherwise."""
    if not happened:
        return
    here = current_origin()
    rows: Sequence[dict[str, object]] = [
        {
            "published_at": event.at or now,
            "type": event.type.value,
            "actor_type": event.actor.type,
            "actor": event.actor.id,
            "repository": event.repository,
            "object_type": event.object_type.value,
            "object_id": event.object_id[:NAME_LIMIT],
            "object_name": event.object_name[:NAME_LIMIT],
            "content": event.content[:CONTENT_LIMIT],
            "address": (event.origin or here).address,
            "user_agent": (event.origin or here).user_agent,
            "outcome": event.outcome.value,
        }
        for event in happened
    ]
    for first in range(0, len(rows), _BATCH):
        await unit.execute(insert(events), rows[first : first + _BATCH])
