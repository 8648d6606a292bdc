"""Pulling: manifests and blobs by one point read each, and the manifests' bytes from memory.

What is cached is bytes under their digest, never a right and never a link: both are in the point read of every request.

Pulls are counted, and told as events, in batches: the same one, by the same account from the same place, once in a batch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from cachetools import LRUCache

from lading.core.clock import Clock, to_microseconds
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Database
from lading.events.log import SYSTEM, Actor, Event, EventType, ObjectType, record
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.errors import BlobUnknownError, ManifestUnknownError, NameUnknownError
from lading.registry.points import Asked, BlobFound, ManifestFound, RegistryPoints
from lading.web.exchange import Request
from lading.web.origin import Origin

_TOUCH_FRACTION = 8  # a touch younger than this part of the grace time is not repeated
_TOLD_LIMIT = 1000  # different pulls told in one batch; of more only the number is


_Key = tuple[str | None, str, str, str, str, str]
"""A `Pull` as it is kept until it is written: a plain tuple costs a third of a named one."""


class Pull(NamedTuple):
    """Who pulled what, and from where."""

    account_id: str | None
    repository: str
    tag: str  # empty for a pull by digest
    digest: str
    address: str
    user_agent: str

    def event(self, at: datetime) -> Event:
        """DTR's "Get Tag"."""
        kind, what = (ObjectType.TAG, self.tag) if self.tag else (ObjectType.MANIFEST, self.digest)
        return Event(
            EventType.GET,
            Actor.account(self.account_id),
            kind,
            what,
            repository=self.repository,
            content=self.digest if self.tag else "",
            at=at,
            origin=Origin.from_texts(self.address, self.user_agent),
        )


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
    _pulls: dict[_Key, datetime] = field(default_factory=dict)
    _more: int = 0  # pulls that are not told one by one

    def add(self, repository_id: str) -> None:
        self._counts[repository_id] = self._counts.get(repository_id, 0) + 1

    def tell(self, pull: _Key, clock: Clock) -> None:
        """The pull is told with the next batch; when it first happened counts."""
        if pull not in self._pulls:
            if len(self._pulls) < _TOLD_LIMIT:
                self._pulls[pull] = clock.now()
            else:
                self._more += 1

    def take(self) -> "PullCounts":
        """All that was counted; it begins anew."""
        taken = PullCounts(0, self._counts, self._pulls, self._more)
        self._counts, self._pulls, self._more = {}, {}, 0
        return taken

    def give_back(self, taken: "PullCounts") -> None:
        """Counts that could not be written."""
        for repository_id, count in taken.counts.items():
            self._counts[repository_id] = self._counts.get(repository_id, 0) + count
        known, self._pulls = self._pulls, dict(taken._pulls)  # noqa: SLF001 — another one of ours
        self._more += taken._more  # noqa: SLF001
        for pull, at in known.items():
            if len(self._pulls) < _TOLD_LIMIT:
                self._pulls.setdefault(pull, at)
            else:
                self._more += 1

    @property
    def counts(self) -> Mapping[str, int]:
        """How many pulls there were, by repository id."""
        return self._counts

    def events(self) -> Sequence[Event]:
        """What is told of them."""
        told = [Pull(*pull).event(at) for pull, at in self._pulls.items()]
        if self._more:
            told.append(Event(EventType.GET, SYSTEM, ObjectType.MANIFEST, "", content=f"{self._more} more pulls"))
        return told


@dataclass(frozen=True)
class Pulls:
    """The use cases of pulling."""

    database: Database
    points: RegistryPoints
    bytes_of: ManifestBytes
    counts: PullCounts
    clock: Clock
    grace: timedelta
    is_told: Callable[[], bool] = lambda: True  # whether pulls are told as events

    def count(self, request: Request, asked: Asked, reference: Tag | Digest, digest: Digest) -> None:
        """The client got the manifest."""
        if asked.repository_id is None:
            return
        self.counts.add(asked.repository_id)
        if self.is_told():
            account = asked.principal.account_id if asked.principal is not None else None
            tag = reference.text if isinstance(reference, Tag) else ""
            agent = request.header("user-agent") or ""
            self.counts.tell((account, asked.name.text, tag, digest.text, request.client, agent), self.clock)

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
        """The pulls counted since the last time are in the database, and told. Errors: UnavailableError; counts wait on."""
        taken = self.counts.take()
        if not taken.counts:
            return
        try:
            async with self.database.write(durable=False) as unit:
                await store.count_pulls(unit, taken.counts.items())
                await record(unit, self.clock.now(), *taken.events())
        except BaseException:
            self.counts.give_back(taken)
            raise
