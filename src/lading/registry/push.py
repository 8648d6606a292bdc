"""Pushing manifests, and moving tags by it: manifest, tags, counters and events in one unit of work."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Permission, decide
from lading.core.clock import Clock
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.creation import create_repository
from lading.registry.errors import (
    DisabledError,
    ManifestBlobUnknownError,
    ManifestInvalidError,
    NameUnknownError,
    TagImmutableError,
)
from lading.registry.manifests import ManifestContent, check_digest, parse_manifest
from lading.registry.points import Asked, RegistryPoints
from lading.registry.switches import CurrentSwitches


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest that is in the repository now, and the tags that name it by this push."""

    digest: Digest
    subject: Digest | None
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class Pushes:
    """The use case of pushing a manifest."""

    database: Database
    points: RegistryPoints
    clock: Clock
    switches: CurrentSwitches

    async def allow(self, caller: Caller, name: RepositoryName) -> Asked:
        """Who pushes where; asked before the body is read. Errors: ChallengeError, NameUnknownError, DisabledError."""
        caller.require(name, "pull,push")
        switches = self.switches()
        if switches.read_only:
            raise DisabledError("the registry is in read-only mode")
        asked = await self.points.repository(caller.asker, name)
        caller.check(asked, "push")
        if asked.repository_id is None:
            may = asked.principal is not None and decide(asked.principal, Permission.CREATE_REPOSITORY, asked.resource)
            if not (may and switches.create_repository_on_push):
                raise NameUnknownError(name, can_create=bool(may))
        return asked

    async def put(
        self, asked: Asked, reference: Tag | Digest, more_tags: Sequence[Tag], body: bytes, content_type: str
    ) -> Pushed:
        """The manifest is in the repository, named by the tags.

        Errors: ManifestInvalidError, DigestInvalidError, ManifestBlobUnknownError, TagImmutableError, NameUnknownError.
        """
        content = parse_manifest(body, content_type)
        if isinstance(reference, Digest):
            check_digest(body, reference)
            digest, tags = reference, tuple(dict.fromkeys(more_tags))
        else:
            digest, tags = Digest.of(body), (reference,)
        account = asked.principal.account_id if asked.principal is not None else None
        now = self.clock.now()
        async with store.unit_in(self.database, asked.name) as unit:
            repository_id = asked.repository_id or await create_repository(unit, asked.name, by=account, now=now)
            await store.hold_content(unit, content)
            await self._check(unit, asked, repository_id, content, digest, tags)
            is_new = await store.put_manifest(unit, repository_id, digest, body, content, pushed_by=account, now=now)
            for tag in tags:
                await store.put_tag(unit, repository_id, tag.text, digest, author=account, now=now)
            await store.count_push(unit, repository_id, now)
            await record(unit, now, *_events(asked.name, Actor.account(account), digest, tags, is_new=is_new))
        return Pushed(digest, content.subject, tags)

    async def _check(
        self,
        unit: AsyncConnection,
        asked: Asked,
        repository_id: str,
        content: ManifestContent,
        digest: Digest,
        tags: Sequence[Tag],
    ) -> None:
        known_type = await store.find_media_type(unit, repository_id, digest)
        if known_type not in {None, content.media_type}:
            # Its tags would mean something else than what was pushed under them (CVE-2021-41190).
            raise ManifestInvalidError(
                f"the repository {asked.name} has the manifest {digest} already, as {known_type}: "
                f"delete it before you push it as {content.media_type}"
            )
        if not self.switches().sparse_images:
            missing = await store.missing_content(unit, repository_id, content, children=False)
            if missing:
                raise ManifestBlobUnknownError(asked.name, missing)
        if asked.immutable_tags:
            for tag in tags:
                known = await store.find_tag(unit, repository_id, tag.text)
                if known is not None and known != digest.text:
                    raise TagImmutableError(asked.name, tag.text)


def _events(name: RepositoryName, actor: Actor, digest: Digest, tags: Sequence[Tag], *, is_new: bool) -> list[Event]:
    events = [Event(EventType.CREATE, actor, ObjectType.MANIFEST, digest.text, repository=name.text)] if is_new else []
    return events + [
        Event(EventType.UPDATE, actor, ObjectType.TAG, tag.text, repository=name.text, content=digest.text)
        for tag in tags
    ]
