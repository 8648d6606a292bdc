"""Deleting tags, manifests and blobs from a repository. Bytes stay until nobody needs them: see garbage.py."""

from dataclasses import dataclass

from lading.core.clock import Clock
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.errors import (
    BlobUnknownError,
    DisabledError,
    ManifestUnknownError,
    NameUnknownError,
    TagImmutableError,
)
from lading.registry.points import Asked, RegistryPoints
from lading.registry.switches import CurrentSwitches


@dataclass(frozen=True)
class Deletions:
    """The use cases of deleting through `/v2`."""

    database: Database
    points: RegistryPoints
    clock: Clock
    switches: CurrentSwitches

    async def manifest(self, caller: Caller, name: RepositoryName, reference: Tag | Digest) -> None:
        """The tag is gone; or, by digest, the manifest with all tags that name it.

        Errors: ChallengeError, DisabledError, NameUnknownError, ManifestUnknownError, TagImmutableError.
        """
        asked, repository_id = await self._allow(caller, name)
        now, actor = self.clock.now(), Actor.account(caller.account_id)
        async with self.database.write() as unit:
            if isinstance(reference, Tag):
                if asked.immutable_tags:
                    raise TagImmutableError(name, reference.text)
                found = await store.delete_tag(unit, repository_id, reference.text)
                gone = [Event(EventType.DELETE, actor, ObjectType.TAG, reference.text, repository=name.text)]
            else:
                named = await store.tags_of(unit, repository_id, reference) if asked.immutable_tags else []
                if named:
                    raise TagImmutableError(name, named[0])
                found = await store.delete_manifest(unit, repository_id, reference)
                gone = [Event(EventType.DELETE, actor, ObjectType.MANIFEST, reference.text, repository=name.text)]
            if not found:
                raise ManifestUnknownError(name, reference)
            await record(unit, now, *gone)

    async def blob(self, caller: Caller, name: RepositoryName, digest: Digest) -> None:
        """The repository no longer serves the blob. Errors: as `manifest`, BlobUnknownError."""
        _, repository_id = await self._allow(caller, name)
        async with self.database.write() as unit:
            if not await store.unlink_blob(unit, repository_id, digest):
                raise BlobUnknownError(name, digest)
            actor = Actor.account(caller.account_id)
            await record(
                unit,
                self.clock.now(),
                Event(EventType.DELETE, actor, ObjectType.BLOB, digest.text, repository=name.text),
            )

    async def _allow(self, caller: Caller, name: RepositoryName) -> tuple[Asked, str]:
        caller.require(name, "delete")
        switches = self.switches()
        if switches.read_only:
            raise DisabledError("the registry is in read-only mode")
        if not switches.deletes:
            raise DisabledError("deletion is switched off (registry.deletes)")
        asked = await self.points.repository(caller.asker, name)
        caller.check(asked, "delete")
        if asked.repository_id is None:
            raise NameUnknownError(name)
        return asked, asked.repository_id
