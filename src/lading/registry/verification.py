"""Re-hashing everything that is kept. What differs is put aside and forgotten, so that pushing it again mends it."""

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import delete, func, select

from lading.blobs.store import BlobKey, BlobMissingError, BlobStore
from lading.core.clock import Clock
from lading.core.digests import Digest
from lading.database import Database
from lading.events.log import SYSTEM, Event, EventType, ObjectType, Outcome, record
from lading.registry.garbage import Progress
from lading.registry.tables import blob_links, blobs, manifest_contents, manifests, repositories

_PAGE = 100


class Damage(StrEnum):
    """What is wrong with a piece of content."""

    MISSING = "missing"
    DIFFERENT = "different"
    WRONG_SIZE = "wrong size"


@dataclass(frozen=True, slots=True)
class Damaged:
    """One damaged piece, and the repositories that name it."""

    digest: Digest
    damage: Damage
    is_manifest: bool
    repositories: tuple[str, ...]


@dataclass
class Verified:
    """What a verification saw."""

    blobs: int = 0
    manifests: int = 0
    size_bytes: int = 0
    damaged: list[Damaged] = field(default_factory=list)


@dataclass(frozen=True)
class Verification:
    """The use case of verifying all content. Safe to run while the server serves, and to run twice."""

    database: Database
    blobs: BlobStore
    clock: Clock

    async def run(self, progress: Progress, *, repair: bool = True) -> Verified:
        """Every blob and manifest was read and hashed. With `repair`, what differs is in quarantine afterwards."""
        result = Verified()
        async with self.database.read() as connection:
            total = int(await connection.scalar(select(func.coalesce(func.sum(blobs.c.size), 0))) or 0)
        after = ""
        while page := await self._page(after):
            for digest, generation, size in page:
                after = digest
                key = BlobKey(Digest(digest), generation)
                damage = await self._look(key, size)
                result.blobs += 1
                result.size_bytes += size
                if damage is not None and await self._is_current(key):
                    result.damaged.append(await self._put_aside(key, damage, repair=repair))
                await progress(result.size_bytes, max(total, result.size_bytes), "bytes")
        await self._verify_manifests(result)
        return result

    async def _page(self, after: str) -> Sequence[tuple[str, str, int]]:
        async with self.database.read() as connection:
            found = await connection.execute(
                select(blobs.c.digest, blobs.c.generation, blobs.c.size)
                .where(blobs.c.digest > after)
                .order_by(blobs.c.digest)
                .limit(_PAGE)
            )
            return [(row.digest, row.generation, row.size) for row in found]

    async def _look(self, key: BlobKey, size: int) -> Damage | None:
        hashed, length = hashlib.new(key.digest.algorithm), 0
        try:
            async for chunk in self.blobs.read(key):
                hashed.update(chunk)
                length += len(chunk)
        except BlobMissingError:
            return Damage.MISSING
        if hashed.hexdigest() != key.digest.hex:
            return Damage.DIFFERENT
        return None if length == size else Damage.WRONG_SIZE

    async def _is_current(self, key: BlobKey) -> bool:
        """The blob was not collected, or stored anew, while we read it."""
        async with self.database.read() as connection:
            generation = await connection.scalar(select(blobs.c.generation).where(blobs.c.digest == key.digest.text))
        return generation == key.generation

    async def _put_aside(self, key: BlobKey, damage: Damage, *, repair: bool) -> Damaged:
        digest = key.digest
        async with self.database.read() as connection:
            names = tuple(
                await connection.scalars(
                    select(repositories.c.full_name)
                    .join(blob_links, blob_links.c.repository_id == repositories.c.id)
                    .where(blob_links.c.digest == digest.text)
                    .order_by(repositories.c.full_name)
                )
            )
        damaged = Damaged(digest, damage, is_manifest=False, repositories=names)
        if not repair:
            return damaged
        async with self.database.write() as unit:
            gone = blobs.c.digest == digest.text, blobs.c.generation == key.generation
            if not (await unit.execute(select(blobs.c.digest).where(*gone).with_for_update())).first():
                return damaged  # collected, and perhaps stored anew, since
            await unit.execute(delete(blob_links).where(blob_links.c.digest == digest.text))
            await unit.execute(delete(blobs).where(*gone))
            failed = [
                Event(
                    EventType.FAIL,
                    SYSTEM,
                    ObjectType.BLOB,
                    digest.text,
                    repository=name,
                    content=damage.value,
                    outcome=Outcome.FAILED,
                )
                for name in names
            ]
            await record(unit, self.clock.now(), *failed)
        # After the commit: from then on who pushes it stores another copy, and nobody is told that this one is kept.
        if damage is not Damage.MISSING:
            with contextlib.suppress(BlobMissingError):  # a collection was faster
                await self.blobs.quarantine(key)
        return damaged

    async def _verify_manifests(self, result: Verified) -> None:
        after = ""
        while True:
            async with self.database.read() as connection:
                page = (
                    await connection.execute(
                        select(manifest_contents.c.digest, manifest_contents.c.body)
                        .where(manifest_contents.c.digest > after)
                        .order_by(manifest_contents.c.digest)
                        .limit(_PAGE)
                    )
                ).all()
            if not page:
                return
            after = page[-1].digest
            for row in page:
                result.manifests += 1
                digest = Digest(row.digest)
                if Digest.of(bytes(row.body), digest.algorithm) != digest:
                    result.damaged.append(await self._damaged_manifest(digest))

    async def _damaged_manifest(self, digest: Digest) -> Damaged:
        # Its tags name it still: only an operator can tell whether to restore or to delete it.
        async with self.database.read() as connection:
            names = tuple(
                await connection.scalars(
                    select(repositories.c.full_name)
                    .join(manifests, manifests.c.repository_id == repositories.c.id)
                    .where(manifests.c.digest == digest.text)
                    .order_by(repositories.c.full_name)
                )
            )
        return Damaged(digest, Damage.DIFFERENT, is_manifest=True, repositories=names)
