"""Pulling: manifests and blobs by one point read each, and the manifests' bytes from memory.

What is cached is bytes under their digest, never a right and never a link: both are in the point read of every request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from cachetools import LRUCache

from lading.core.clock import Clock, to_microseconds
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Database
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.errors import BlobUnknownError, ManifestUnknownError, NameUnknownError
from lading.registry.points import Asked, BlobFound, ManifestFound, RegistryPoints

_TOUCH_FRACTION = 8  # a touch younger than this part of the grace time is not repeated


class ManifestBytes:
    """Manifests' bytes, the most recently used of them in memory, up to `limit_bytes` of them."""

    def __init__(self, database: Database, *, limit_bytes: int) -> None:
        self._database = database
        self._cache: LRUCache[str, bytes] = LRUCache(max(limit_bytes, 1), getsizeof=len)
        self.hits = 0
        self.misses = 0

    async def get(self, digest: Digest) -> bytes | None:
        """The bytes; None when a collection took them since the caller looked."""
        body = self._cache.get(digest.text)
        if body is not None:
            self.hits += 1
            return body
        self.misses += 1
        row = await self._database.points.first(store.MANIFEST_BODY, digest=digest.text)
        if row is None:
            return None
        body = bytes(row[0])
        if len(body) <= self._cache.maxsize:
            self._cache[digest.text] = body
        return body


@dataclass
class PullCounts:
    """Pulls since they were last written; a crash loses at most what one interval counted."""

    blob_bytes: int = 0  # of blobs that clients were sent to, since this process began
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, repository_id: str) -> None:
        self._counts[repository_id] = self._counts.get(repository_id, 0) + 1

    def take(self) -> Mapping[str, int]:
        """All that was counted, which begins anew."""
        counts, self._counts = self._counts, {}
        return counts

    def give_back(self, counts: Mapping[str, int]) -> None:
        """Counts that could not be written."""
        for repository_id, count in counts.items():
            self._counts[repository_id] = self._counts.get(repository_id, 0) + count


@dataclass(frozen=True)
class Pulls:
    """The use cases of pulling."""

    database: Database
    points: RegistryPoints
    bytes_of: ManifestBytes
    counts: PullCounts
    clock: Clock
    grace: timedelta

    async def manifest(
        self, caller: Caller, name: RepositoryName, reference: Tag | Digest
    ) -> tuple[Asked, ManifestFound]:
        """The manifest that `reference` names. Errors: ChallengeError, NameUnknownError, ManifestUnknownError."""
        caller.require(name, "pull")
        asked, found = await self.points.manifest(caller.asker, name, reference)
        caller.check(asked, "pull")
        if asked.repository_id is None:
            raise NameUnknownError(name)
        if found is None:
            raise ManifestUnknownError(name, reference)
        return asked, found

    async def blob(self, caller: Caller, name: RepositoryName, digest: Digest) -> tuple[str, BlobFound]:
        """The repository's id and its blob. Errors: ChallengeError, NameUnknownError, BlobUnknownError."""
        caller.require(name, "pull")
        asked, found = await self.points.blob(caller.asker, name, digest)
        caller.check(asked, "pull")
        if asked.repository_id is None:
            raise NameUnknownError(name)
        if found is None:
            raise BlobUnknownError(name, digest)
        return asked.repository_id, found

    async def touch(self, name: RepositoryName, repository_id: str, digest: Digest, found: BlobFound) -> None:
        """The client may now rely on the blob: it is safe from collection for a grace time.

        Errors: BlobUnknownError when a collection was faster.
        """
        now = self.clock.now()
        if found.touched_at > to_microseconds(now - self.grace / _TOUCH_FRACTION):
            return
        async with self.database.write() as unit:
            # Touched first: a collection that holds the row makes us wait, and the link is looked up after it is done.
            touched = await store.touch_blob(unit, digest, now)
            if not touched or not await store.is_linked(unit, repository_id, digest):
                raise BlobUnknownError(name, digest)

    async def write_counts(self) -> None:
        """The pulls counted since the last time are in the database."""
        counts = self.counts.take()
        if not counts:
            return
        try:
            async with self.database.write(durable=False) as unit:
                await store.count_pulls(unit, counts.items())
        except BaseException:
            self.counts.give_back(counts)
            raise
