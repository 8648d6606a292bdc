"""Tags and manifests as the REST doors show and delete them. The right to it is asked of `Repositories`."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Permission, Principal
from lading.blobs.store import BlobKey, BlobMissingError, BlobStore
from lading.core.clock import Clock
from lading.core.digests import Digest
from lading.core.media_types import INDEXES
from lading.core.names import RepositoryName, Tag
from lading.database import Database
from lading.events.log import Actor, Event, EventType, ObjectType, record
from lading.registry import repository_store, store
from lading.registry.dtr_errors import ReferenceUnknownError, TagUnknownError
from lading.registry.errors import TagImmutableError
from lading.registry.images import CONFIG_LIMIT, ImageFacts, children_of, facts_of
from lading.registry.repositories import Repositories, check_deletes
from lading.registry.repository_store import StoredManifest, StoredTag
from lading.web.paging import Page, Paging

_TAGS_OF_A_DIGEST = 1000
_PLATFORMS = 500


@dataclass(frozen=True, slots=True)
class TagInPlatform:
    """A tag with one manifest that it gives, perhaps out of an index. `os` and `architecture` are empty when unknown."""

    tag: StoredTag
    manifest: StoredManifest | None  # None: the index names a manifest that the repository does not have
    digest: str
    os: str
    architecture: str
    facts: ImageFacts | None


@dataclass(frozen=True)
class RepositoryTags:
    """The use cases of looking at tags and manifests, and deleting them."""

    database: Database
    repositories: Repositories
    blobs: BlobStore
    clock: Clock

    async def list(self, principal: Principal, name: RepositoryName, paging: Paging) -> Page[StoredTag]:
        """Tags in code point order. Errors: RepositoryUnknownError."""
        repository = await self.repositories.get(principal, name)
        async with self.database.read() as connection:
            found = await repository_store.list_tags(
                connection, repository.id, start=paging.start, limit=paging.size + 1
            )
            total = await repository_store.count_tags(connection, repository.id) if paging.count else None
        more = found[paging.size].name if len(found) > paging.size else None
        return Page(found[: paging.size], more, total)

    async def list_manifests(self, principal: Principal, name: RepositoryName, paging: Paging) -> Page[StoredManifest]:
        """Manifests in digest order. Errors: RepositoryUnknownError."""
        repository = await self.repositories.get(principal, name)
        async with self.database.read() as connection:
            found = await repository_store.list_manifests(
                connection, repository.id, start=paging.start, limit=paging.size + 1
            )
            total = await repository_store.count_manifests(connection, repository.id) if paging.count else None
        more = found[paging.size].digest if len(found) > paging.size else None
        return Page(found[: paging.size], more, total)

    async def get(self, principal: Principal, name: RepositoryName, reference: Tag | Digest) -> Sequence[TagInPlatform]:
        """The tag once per platform; for a digest, every tag that names it so.

        Shape: never empty; at most 1,000 tags, 500 platforms. Errors: RepositoryUnknownError, ReferenceUnknownError.
        """
        repository = await self.repositories.get(principal, name)
        async with self.database.read() as connection:
            if isinstance(reference, Tag):
                tag = await repository_store.find_tag(connection, repository.id, reference.text)
                found = [] if tag is None else [tag]
            else:
                found = await repository_store.tags_of(connection, repository.id, reference, limit=_TAGS_OF_A_DIGEST)
            if not found:
                raise ReferenceUnknownError(name, str(reference))
            manifest = found[0].manifest
            body = await repository_store.find_body(connection, manifest.digest) or b""
            if manifest.media_type in INDEXES:
                return await self._in_platforms(connection, repository.id, found, body)
        facts = await self._facts(repository.id, manifest, body)
        os, architecture = (facts.os, facts.architecture) if facts is not None else ("", "")
        return [TagInPlatform(tag, tag.manifest, tag.manifest.digest, os, architecture, facts) for tag in found]

    async def _in_platforms(
        self, connection: AsyncConnection, repository_id: str, found: Sequence[StoredTag], index: bytes
    ) -> Sequence[TagInPlatform]:
        children = children_of(index)[:_PLATFORMS]
        known = await repository_store.find_manifests(connection, repository_id, [child.digest for child in children])
        return [
            TagInPlatform(tag, known.get(child.digest), child.digest, child.os, child.architecture, None)
            for tag in found
            for child in children
        ] or [TagInPlatform(tag, tag.manifest, tag.manifest.digest, "", "", None) for tag in found]

    async def _facts(self, repository_id: str, manifest: StoredManifest, body: bytes) -> ImageFacts | None:
        if manifest.config_digest is None:
            return None
        digest = Digest.parse(manifest.config_digest)
        async with self.database.read() as connection:
            # A manifest may name a config that only other repositories have: what it says is theirs (CVE-2024-39897).
            if not await store.is_linked(connection, repository_id, digest):
                return None
        blob = await store.find_blob(self.database.points, digest)
        if blob is None or blob.size_bytes > CONFIG_LIMIT:
            return None
        try:
            config = b"".join([chunk async for chunk in self.blobs.read(BlobKey(digest, blob.generation))])
        except BlobMissingError:
            return None  # told by `lading verify`; the rest of the answer is right all the same
        return facts_of(body, config)

    async def delete_tag(self, principal: Principal, name: RepositoryName, tag: Tag) -> None:
        """The tag is gone, its manifest stays. Errors: as `Repositories.get`; TagUnknownError, TagImmutableError."""
        repository = await self.repositories.get(principal, name, Permission.DELETE_CONTENT)
        check_deletes(self.repositories.switches)
        if repository.immutable_tags:
            raise TagImmutableError(name, tag.text)
        async with self.database.write() as unit:
            if not await store.delete_tag(unit, repository.id, tag.text):
                raise TagUnknownError(name, tag.text)
            await self._record(unit, principal, name, ObjectType.TAG, tag.text)

    async def delete_manifest(self, principal: Principal, name: RepositoryName, digest: Digest) -> None:
        """The manifest is gone with all tags that name it. Errors: as `delete_tag`; ReferenceUnknownError."""
        repository = await self.repositories.get(principal, name, Permission.DELETE_CONTENT)
        check_deletes(self.repositories.switches)
        async with self.database.write() as unit:
            named = await store.tags_of(unit, repository.id, digest) if repository.immutable_tags else []
            if named:
                raise TagImmutableError(name, named[0])
            if not await store.delete_manifest(unit, repository.id, digest):
                raise ReferenceUnknownError(name, digest.text)
            await self._record(unit, principal, name, ObjectType.MANIFEST, digest.text)

    async def _record(
        self, unit: AsyncConnection, principal: Principal, name: RepositoryName, kind: ObjectType, what: str
    ) -> None:
        actor = Actor.account(principal.account_id)
        await record(unit, self.clock.now(), Event(EventType.DELETE, actor, kind, what, repository=name.text))
