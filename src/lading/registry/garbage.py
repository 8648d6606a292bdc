"""Collecting what nobody needs, while pushes go on.

Rules: what a manifest of its repository names stays; what a client was told about within the grace time stays, too (a
finished upload, a HEAD, a mount touch it). Rows go first, in one transaction that locks them; bytes go after the commit. So
killed at any step, nothing referenced is lost: at worst bytes without a row stay, which the next run finds in the storage.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lading.blobs.staging import Staging
from lading.blobs.store import BlobStore, StoredBlob
from lading.core.clock import Clock
from lading.core.errors import ConflictError
from lading.database import Database
from lading.database.locks import release, try_lease
from lading.registry import garbage_store as rows
from lading.registry.garbage_store import PAGE, Tally

LOCK = "garbage"
_LEASE = timedelta(minutes=5)
_STRAY_AGE = timedelta(hours=1)  # younger files may be of a push that commits its row in a moment
_LEFTOVER_SECONDS = 3600.0  # staged parts without an upload: of a request that lost, or was killed

Progress = Callable[[int, int, str], Awaitable[None]]
"""Told how much is done, of how much, and what is being done."""


class GarbageRunningError(ConflictError):
    """Another process collects."""

    def __init__(self) -> None:
        super().__init__(
            "another collection is running, or was killed less than five minutes ago; see `lading gc --dry-run`"
        )


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run took away."""

    uploads: int = 0
    manifests: int = 0
    blobs: Tally = field(default_factory=Tally)
    stray: Tally = field(default_factory=Tally)  # bytes in the storage that no row names


@dataclass(frozen=True, slots=True)
class Outlook:
    """Why space is not free (yet)."""

    stored: Tally  # all blobs
    collectable: Tally  # goes with the next run
    protected: Tally  # no manifest needs it, but it is in its grace time
    protected_until: datetime | None  # when the first of those may go
    untagged: Tally  # manifests that nothing names, and the bytes of what they hold
    untagged_go: bool  # whether the settings collect those
    uploads: Tally  # unfinished


@dataclass(frozen=True)
class Garbage:
    """The use cases of collecting. `holder` names this process in the lease."""

    database: Database
    blobs: BlobStore
    staging: Staging
    clock: Clock
    holder: str
    grace: timedelta
    upload_lifetime: timedelta
    untagged_manifests: bool

    async def outlook(self, *, grace: timedelta | None = None) -> Outlook:
        """What a run would free now, and what holds the rest; changes nothing."""
        cutoff = self.clock.now() - (self.grace if grace is None else grace)
        async with self.database.read() as connection:
            unwanted = await rows.count_unwanted(connection)
            collectable = await rows.count_unwanted(connection, before=cutoff)
            oldest = await rows.oldest_protected(connection, since=cutoff)
            return Outlook(
                stored=await rows.count_blobs(connection),
                collectable=collectable,
                protected=Tally(unwanted.count - collectable.count, unwanted.size_bytes - collectable.size_bytes),
                protected_until=None if oldest is None else oldest + self.grace,
                untagged=await rows.count_untagged(connection, cutoff=cutoff),
                untagged_go=self.untagged_manifests,
                uploads=await rows.count_uploads(connection),
            )

    async def collect(self, progress: Progress, *, grace: timedelta | None = None) -> Collected:
        """One whole run. `grace` overrides the setting: with zero, be sure that nobody is pushing.

        Errors: GarbageRunningError.
        """
        cutoff = self.clock.now() - (self.grace if grace is None else grace)
        await self._lease()
        try:
            uploads = await self._expired_uploads()
            manifests = (await self._untagged(cutoff, progress)) if self.untagged_manifests else 0
            await self._contents()
            gone = await self._unwanted(cutoff, progress)
            stray = await self._stray(min(cutoff, self.clock.now() - _STRAY_AGE), progress)
        finally:
            async with self.database.write() as unit:
                await release(unit, LOCK, self.holder)
        return Collected(uploads, manifests, gone, stray)

    async def _lease(self) -> None:
        async with self.database.write() as unit:
            if not await try_lease(unit, LOCK, self.holder, self.clock.now(), _LEASE):
                raise GarbageRunningError

    async def _expired_uploads(self) -> int:
        count = 0
        cutoff = self.clock.now() - self.upload_lifetime
        while True:
            async with self.database.write() as unit:
                gone, parts = await rows.delete_expired_uploads(unit, cutoff=cutoff)
            await self.staging.discard(parts)
            count += gone
            if gone < PAGE:
                break
        async with self.database.read() as connection:
            keep = await rows.staged_parts(connection)
        await asyncio.to_thread(self.staging.sweep, keep, older_than_seconds=_LEFTOVER_SECONDS)
        return count

    async def _untagged(self, cutoff: datetime, progress: Progress) -> int:
        count = 0
        while True:
            async with self.database.write() as unit:
                gone = await rows.delete_untagged(unit, cutoff=cutoff)
            count += len(gone)
            await progress(count, 0, "untagged manifests")
            if not gone:
                return count

    async def _contents(self) -> None:
        while True:
            async with self.database.write() as unit:
                if await rows.delete_contents(unit) < PAGE:
                    return

    async def _unwanted(self, cutoff: datetime, progress: Progress) -> Tally:
        async with self.database.read() as connection:
            total = (await rows.count_unwanted(connection, before=cutoff)).count
        count = size = 0
        after = ""
        while True:
            async with self.database.read() as connection:
                page = await rows.page_of_unwanted(connection, after=after, cutoff=cutoff)
            if not page:
                return Tally(count, size)
            after = page[-1]
            await self._lease()
            async with self.database.write() as unit:
                dead = await rows.delete_unwanted(unit, page, cutoff=cutoff)
            await self.blobs.delete(*(blob.key for blob in dead))
            count += len(dead)
            size += sum(blob.size_bytes for blob in dead)
            await progress(count, max(total, count), "blobs")

    async def _stray(self, cutoff: datetime, progress: Progress) -> Tally:
        """Bytes whose row went, or never came, because a process died between the two."""
        count = size = seen = 0
        page: list[StoredBlob] = []
        async for item in self.blobs.list():
            seen += 1
            if item.stored_at < cutoff:
                page.append(item)
            if len(page) == PAGE:
                gone = await self._delete_stray(page)
                count, size, page = count + gone.count, size + gone.size_bytes, []
                await self._lease()
                await progress(seen, 0, "stored files")
        gone = await self._delete_stray(page)
        return Tally(count + gone.count, size + gone.size_bytes)

    async def _delete_stray(self, page: list[StoredBlob]) -> Tally:
        if not page:
            return Tally()
        async with self.database.read() as connection:
            known = await rows.known_generations(connection, [item.key.digest.text for item in page])
        stray = [item for item in page if known.get(item.key.digest.text) != item.key.generation]
        await self.blobs.delete(*(item.key for item in stray))
        return Tally(len(stray), sum(item.size_bytes for item in stray))
