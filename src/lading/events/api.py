"""Events in `/api/v0`. Source: DTR reference 1.2, and schema.Event in 1.3."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from lading.access import Principal
from lading.core.clock import rfc3339
from lading.core.errors import InvalidError
from lading.events.feed import Feed
from lading.events.log import EventType, ObjectType
from lading.events.store import Filter, StoredEvent
from lading.web.api import SignedIn
from lading.web.asked_page import AskedPage, tell_page
from lading.web.paging import Page

_Moment = Annotated[str, Query(max_length=64, description="RFC 3339, such as 2026-01-31T00:00:00Z")]
_Part = Annotated[str, Path(max_length=255)]
_ACCOUNT = "account"


def asked_filter(
    before: Annotated[_Moment, Query(alias="publishedBefore")] = "",
    after: Annotated[_Moment, Query(alias="publishedAfter")] = "",
    actor: Annotated[str, Query(alias="actorId", max_length=128)] = "",
    kind: Annotated[str, Query(alias="eventType", max_length=32)] = "",
    object_kind: Annotated[str, Query(alias="objectType", max_length=32)] = "",
) -> Filter:
    """What the query asks for. Errors: InvalidError."""
    return Filter(
        before=_moment("publishedBefore", before),
        after=_moment("publishedAfter", after),
        actor=actor or None,
        type=_word("eventType", kind, EventType),
        object_type=_word("objectType", object_kind, ObjectType),
    )


AskedFilter = Annotated[Filter, Depends(asked_filter)]


def router(feed: Feed) -> APIRouter:
    """The endpoints of events."""
    routes = APIRouter(prefix="/api/v0", tags=["events"])

    @routes.get("/events", summary="What happened, newest first")
    async def list_events(who: SignedIn, wanted: AskedFilter, paging: AskedPage, response: Response) -> dict[str, Any]:
        return await _told(feed, who, await feed.list(who, wanted, paging), response)

    @routes.get("/repositories/{namespace}/{reponame}/events", summary="What happened in a repository, newest first")
    async def list_repository_events(
        namespace: _Part,
        reponame: _Part,
        who: SignedIn,
        wanted: AskedFilter,
        paging: AskedPage,
        response: Response,
        exclude_pull: Annotated[bool, Query(alias="excludePull")] = False,  # noqa: FBT002 — a query parameter
    ) -> dict[str, Any]:
        page = await feed.list_of_repository(who, namespace, reponame, wanted, paging, exclude_pulls=exclude_pull)
        return await _told(feed, who, page, response)

    return routes


async def _told(feed: Feed, who: Principal, page: Page[StoredEvent], response: Response) -> dict[str, Any]:
    found = tell_page(page, response)
    names = await _names(feed, found)
    whole = feed.is_administrator(who)
    return {"events": [event_json(item, names, whole=whole) for item in found]}


async def _names(feed: Feed, found: Sequence[StoredEvent]) -> Mapping[str, str]:
    actors = {item.actor for item in found if item.actor_type == _ACCOUNT}
    return await feed.names(actors) if actors else {}


def _moment(key: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidError(f"{key} is a moment as RFC 3339 writes it, such as 2026-01-31T00:00:00Z") from error


def _word(key: str, text: str, words: type[StrEnum]) -> str | None:
    if not text:
        return None
    try:
        return words(text.upper()).value
    except ValueError as error:
        raise InvalidError(f"{key} is one of {', '.join(words)}") from error


def event_json(item: StoredEvent, names: Mapping[str, str], *, whole: bool) -> dict[str, Any]:
    """DTR's schema.Event, and the actor's name; for administrators also the outcome, and where it came from."""
    about: dict[str, Any] = {"id": item.object_id, "type": item.object_type}
    if item.object_name:
        about["name"] = item.object_name
    if item.content:
        about["content"] = item.content
    told = {
        "id": str(item.id),
        "publishedAt": rfc3339(item.published_at),
        "actor": item.actor,
        "actorType": item.actor_type,
        "actorName": names.get(item.actor, ""),
        "type": item.type,
        "object": about,
        "repository": item.repository,
    }
    if whole:
        told |= {"outcome": item.outcome, "address": item.address, "userAgent": item.user_agent}
    return told
