"""Collecting garbage as a job, on each kind of database: cut off at any step, run again, run by two at once."""

import asyncio
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.staging import Staging
from lading.blobs.store import BlobKey
from lading.core.digests import Digest
from lading.core.folders import DataFolder
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry import store
from lading.registry.creation import create_repository
from lading.registry.garbage import Garbage, GarbageRunningError
from lading.registry.manifests import Descriptor, ManifestContent
from lading.registry.tables import blobs, manifest_contents, manifests, uploads
from support.clocks import ManualClock
from support.cutting import is_cut

DAY, WEEK = timedelta(days=1), timedelta(days=7)
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Yard:
    """A repository with things that are needed and things that are not."""

    database: Database
    folder: DataFolder
    content: FilesystemBlobs
    clock: ManualClock
    repository: str

    def garbage(self, holder: str = "one") -> Garbage:
        return Garbage(
            self.database,
            self.content,
            Staging(self.folder.uploads),
            self.clock,
            holder=holder,
            grace=DAY,
            upload_lifetime=WEEK,
            untagged_manifests=True,
        )

    async def put(self, digest: Digest) -> BlobKey:
        """Bytes without a row."""
        staged = self.folder.uploads / secrets.token_hex(4)
        staged.write_bytes(b"bytes")
        key = BlobKey.new(digest)
        await self.content.put(staged, key)
        return key

    async def blob(self) -> Digest:
        """A blob that the repository may serve."""
        digest = Digest.of(secrets.token_bytes(8))
        key = await self.put(digest)
        async with self.database.write() as unit:
            await store.add_blob(unit, digest, store.BlobRow(key.generation, 5), self.clock.now())
            await store.link_blob(unit, self.repository, digest, self.clock.now())
        return digest

    async def image(self, *, tag: str | None) -> Digest:
        """A manifest that names a new blob, which is given."""
        layer = await self.blob()
        body = str(layer).encode()
        content = ManifestContent(MANIFEST, None, None, (Descriptor(LAYER, layer, 5),), (), (), None, None)
        digest, now = Digest.of(body), self.clock.now()
        async with self.database.write() as unit:
            await store.put_manifest(unit, self.repository, digest, body, content, pushed_by=None, now=now)
            if tag is not None:
                await store.put_tag(unit, self.repository, tag, digest, author=None, now=now)
        return layer

    async def litter(self) -> None:
        """One more of everything that goes: a loose blob, an untagged image, a stray file, an upload nobody finished."""
        await self.blob()
        await self.image(tag=None)
        await self.put(Digest.of(secrets.token_bytes(8)))
        upload, now = secrets.token_hex(8), self.clock.now()
        part = self.folder.uploads / f"{upload}.part"
        part.write_bytes(b"half")
        os.utime(part, (0, 0))  # leftovers go when they are old by the machine's time
        async with self.database.write() as unit:
            await store.add_upload(unit, upload, self.repository, None, now)
            await store.advance_upload(unit, upload, expected=0, offset=4, parts=[part.name], sha256=None, now=now)
        self.clock.move(WEEK + DAY)

    async def rows(self) -> dict[str, str]:
        """The generation of each blob that has a row."""
        async with self.database.read() as connection:
            found = await connection.execute(select(blobs.c.digest, blobs.c.generation))
            return {row.digest: row.generation for row in found}

    async def files(self) -> dict[str, str]:
        return {item.key.digest.text: item.key.generation async for item in self.content.list()}

    async def count_others(self) -> tuple[int, ...]:
        """Rows of manifests, of their bodies, and of uploads."""
        async with self.database.read() as connection:
            tables = (manifests.c.digest, manifest_contents.c.digest, uploads.c.id)
            return tuple([len(list(await connection.scalars(select(column)))) for column in tables])


@pytest.fixture
async def yard(database: Database, tmp_path: Path) -> Yard:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    clock = ManualClock(datetime.now(UTC))  # files have the machine's time
    async with database.write() as unit:
        repository = await create_repository(unit, RepositoryName("ada/app"), by=None, now=clock.now())
    return Yard(database, folder, FilesystemBlobs(folder.blobs, folder.quarantine), clock, repository)


async def quiet(_done: int, _total: int, _what: str) -> None: ...


async def test_a_collection_cut_off_at_any_step_loses_nothing_needed_and_the_next_one_ends_its_work(
    yard: Yard, database_kind: str
) -> None:
    needed = {(await yard.image(tag=str(number))).text for number in range(3)}
    step, was_cut = 0, True
    while was_cut:
        await yard.litter()
        was_cut = await is_cut(yard.garbage().collect(quiet), step)
        step += 1 if database_kind == "sqlite" else 4  # there each cut costs a connection
        rows, files = await yard.rows(), await yard.files()
        assert needed <= rows.keys()
        assert rows.items() <= files.items()  # whatever is promised is there
        await yard.garbage().collect(quiet)
        assert (await yard.rows()).keys() == (await yard.files()).keys() == needed
    assert step > 20  # it did wait that often, and was cut off at each wait
    assert await yard.count_others() == (3, 3, 0)
    assert list(yard.folder.uploads.iterdir()) == []


async def test_bytes_without_a_row_are_all_found_however_many_there_are(yard: Yard) -> None:
    for number in range(1100):  # the storage is listed by the half thousand
        await yard.put(Digest.of(str(number).encode()))
    yard.clock.move(2 * DAY)
    assert (await yard.garbage().collect(quiet)).stray.count == 1100
    assert await yard.files() == {}


async def test_collections_by_two_at_once_take_everything_once_or_one_is_turned_away(yard: Yard) -> None:
    needed = await yard.image(tag="1")
    await yard.litter()
    found = await asyncio.gather(
        *(yard.garbage(holder).collect(quiet) for holder in ("one", "two")), return_exceptions=True
    )
    done = [collected for collected in found if not isinstance(collected, BaseException)]
    assert all(isinstance(one, GarbageRunningError) for one in found if isinstance(one, BaseException))
    assert done
    assert sum(one.manifests for one in done) == 1
    assert (await yard.rows()).keys() == (await yard.files()).keys() == {needed.text}


async def test_who_starts_again_under_his_name_need_not_wait_for_his_own_lease(yard: Yard) -> None:
    await yard.litter()
    begun = asyncio.Event()

    async def never(_done: int, _total: int, _what: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    killed = asyncio.create_task(yard.garbage("one").collect(never))  # with the lease in his hand
    await begun.wait()
    with pytest.raises(GarbageRunningError):
        await yard.garbage("two").collect(quiet)
    await yard.garbage("one").collect(quiet)
    assert await yard.rows() == {}
    killed.cancel()
    await asyncio.wait([killed])


async def test_after_a_collection_or_one_cut_off_anybody_may_begin_the_next(yard: Yard) -> None:
    await yard.garbage("one").collect(quiet)
    await yard.garbage("two").collect(quiet)
    assert await is_cut(yard.garbage("three").collect(quiet), 5)
    await yard.garbage("four").collect(quiet)


async def test_some_hundred_dead_blobs_go_with_their_files_and_the_living_stay(yard: Yard) -> None:
    needed = {(await yard.image(tag=str(number))).text for number in range(20)}
    for _ in range(600):  # more than one page
        await yard.blob()
    yard.clock.move(2 * DAY)
    told: list[tuple[int, int]] = []

    async def tell(done: int, total: int, what: str) -> None:
        if what == "blobs":
            told.append((done, total))

    collected = await yard.garbage().collect(tell)
    assert (collected.blobs.count, collected.blobs.size_bytes) == (600, 3000)
    assert told == [(500, 600), (600, 600)]
    assert (await yard.rows()).keys() == (await yard.files()).keys() == needed
