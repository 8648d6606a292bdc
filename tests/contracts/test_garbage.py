"""Collecting and verifying on both databases: what goes, what stays, and what a kill in the middle leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.staging import Staging
from lading.blobs.store import BlobKey
from lading.core.digests import Digest
from lading.core.folders import DataFolder
from lading.core.names import RepositoryName
from lading.database import Database
from lading.database.locks import try_lease
from lading.registry import store
from lading.registry.creation import create_repository
from lading.registry.garbage import Garbage, GarbageRunningError
from lading.registry.garbage_store import delete_contents
from lading.registry.manifests import Descriptor, ManifestContent
from lading.registry.tables import blob_links, blobs, manifest_contents, manifests
from lading.registry.verification import Damage, Verification

GRACE = timedelta(hours=24)
LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class MovedClock:
    """A clock moved by hand."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.moment

    def pass_(self, length: timedelta) -> None:
        self.moment += length


@dataclass
class House:
    """A registry without its doors."""

    database: Database
    folder: DataFolder
    clock: MovedClock
    content: FilesystemBlobs
    garbage: Garbage

    async def repository(self, name: str = "ada/app") -> str:
        async with self.database.write() as unit:
            return await create_repository(unit, RepositoryName(name), by=None, now=self.clock.now())

    async def blob(self, repository: str, data: bytes) -> Digest:
        digest = Digest.of(data)
        staged = self.folder.uploads / "staged"
        staged.write_bytes(data)
        key = BlobKey.new(digest)
        await self.content.put(staged, key)
        async with self.database.write() as unit:
            await store.add_blob(unit, digest, store.BlobRow(key.generation, len(data)), self.clock.now())
            await store.link_blob(unit, repository, digest, self.clock.now())
        return digest

    async def manifest(
        self, repository: str, layers: Sequence[Digest], *, tag: str | None, salt: bytes = b""
    ) -> Digest:
        body = b"manifest" + salt + b"".join(str(layer).encode() for layer in layers)
        described = tuple(Descriptor(LAYER, layer, 1) for layer in layers)
        content = ManifestContent(MANIFEST, None, None, described, (), (), None, None)
        digest, now = Digest.of(body), self.clock.now()
        async with self.database.write() as unit:
            await store.put_manifest(unit, repository, digest, body, content, pushed_by=None, now=now)
            if tag is not None:
                await store.put_tag(unit, repository, tag, digest, author=None, now=now)
        return digest

    async def stored(self) -> set[str]:
        return {str(item.key.digest) async for item in self.content.list()}

    async def count(self, table: object) -> int:
        async with self.database.read() as connection:
            return int(await connection.scalar(select(func.count()).select_from(table)) or 0)  # type: ignore[arg-type]


async def quiet(_done: int, _total: int, _what: str) -> None: ...


def make_house(database: Database, root: Path, *, untagged: bool = False) -> House:
    folder = DataFolder(root / "data")
    folder.make()
    clock = MovedClock()
    content = FilesystemBlobs(folder.blobs, folder.quarantine)
    garbage = Garbage(
        database,
        content,
        Staging(folder.uploads),
        clock,
        holder="test",
        grace=GRACE,
        upload_lifetime=timedelta(days=7),
        untagged_manifests=untagged,
    )
    return House(database, folder, clock, content, garbage)


@pytest.fixture
def house(database: Database, tmp_path: Path) -> House:
    return make_house(database, tmp_path)


async def test_what_a_manifest_names_stays_and_the_rest_goes_after_the_grace_time(house: House) -> None:
    repository = await house.repository()
    needed, loose = await house.blob(repository, b"needed"), await house.blob(repository, b"loose")
    await house.manifest(repository, [needed], tag="1")
    assert (await house.garbage.collect(quiet)).blobs.count == 0
    house.clock.pass_(GRACE + timedelta(minutes=1))
    assert (await house.garbage.outlook()).collectable.count == 1
    assert (await house.garbage.collect(quiet)).blobs.count == 1
    assert await house.stored() == {str(needed)}
    assert str(loose) not in await house.stored()


async def test_a_touched_blob_stays_for_another_grace_time(house: House) -> None:
    repository = await house.repository()
    digest = await house.blob(repository, b"touched")
    house.clock.pass_(GRACE + timedelta(minutes=1))
    async with house.database.write() as unit:
        assert await store.touch_blob(unit, digest, house.clock.now())
    await house.garbage.collect(quiet)
    assert await house.stored() == {str(digest)}


async def test_a_blob_that_one_repository_needs_stays_and_the_others_lose_their_link(house: House) -> None:
    first, second = await house.repository("ada/one"), await house.repository("ada/two")
    digest = await house.blob(first, b"shared")
    async with house.database.write() as unit:
        await store.link_blob(unit, second, digest, house.clock.now())
    await house.manifest(first, [digest], tag="1")
    house.clock.pass_(GRACE + timedelta(minutes=1))
    await house.garbage.collect(quiet)
    assert await house.stored() == {str(digest)}
    async with house.database.read() as connection:
        assert await store.is_linked(connection, first, digest)
        assert not await store.is_linked(connection, second, digest)


async def test_untagged_manifests_go_only_when_the_setting_says_so(database: Database, tmp_path: Path) -> None:
    house = make_house(database, tmp_path, untagged=True)
    repository = await house.repository()
    layer = await house.blob(repository, b"layer")
    await house.manifest(repository, [layer], tag=None, salt=b"untagged")
    kept = await house.manifest(repository, [layer], tag="1")
    house.clock.pass_(GRACE + timedelta(minutes=1))
    assert (await house.garbage.collect(quiet)).manifests == 1
    async with database.read() as connection:
        assert list(await connection.scalars(select(manifests.c.digest))) == [str(kept)]
        assert list(await connection.scalars(select(manifest_contents.c.digest))) == [str(kept)]
    assert await house.stored() == {str(layer)}


@pytest.mark.parametrize("first", ["push", "collection"])
async def test_the_body_of_a_manifest_that_is_pushed_again_meanwhile_is_not_taken(house: House, first: str) -> None:
    repository = await house.repository()
    digest = await house.manifest(repository, [], tag=None)
    async with house.database.write() as unit:
        await store.delete_manifest(unit, repository, digest)

    async def push(unit: AsyncConnection) -> None:
        content = ManifestContent(MANIFEST, None, None, (), (), (), None, None)
        now = house.clock.now()
        await store.put_manifest(unit, repository, digest, b"manifest", content, pushed_by=None, now=now)

    async def collect(unit: AsyncConnection) -> None:
        await delete_contents(unit)

    async def in_a_unit_of_its_own(work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async with house.database.write() as unit:
            await work(unit)

    before, after = (push, collect) if first == "push" else (collect, push)
    async with house.database.write() as unit:
        await before(unit)
        rival = asyncio.create_task(in_a_unit_of_its_own(after))
        await asyncio.sleep(0.2)  # it waits for us, or passes us by
    await rival
    assert await house.database.points.first(store.MANIFEST_BODY, digest=digest.text) is not None


async def test_bytes_without_a_row_are_found_and_removed_once_they_are_old(house: House) -> None:
    staged = house.folder.uploads / "staged"
    staged.write_bytes(b"stray")
    await house.content.put(staged, BlobKey.new(Digest.of(b"stray")))
    assert (await house.garbage.collect(quiet, grace=timedelta(0))).stray.count == 0
    house.clock.pass_(GRACE + timedelta(hours=2))
    assert (await house.garbage.collect(quiet)).stray.count == 1
    assert await house.stored() == set()


async def test_a_collection_killed_after_its_commit_leaves_bytes_that_the_next_one_takes(house: House) -> None:
    repository = await house.repository()
    digest = await house.blob(repository, b"dying")
    house.clock.pass_(GRACE + timedelta(minutes=1))

    async def die(_key: BlobKey) -> None:
        raise KeyboardInterrupt

    object.__setattr__(
        house.garbage, "blobs", type("Dying", (), {"delete": staticmethod(die), "list": house.content.list})()
    )
    with pytest.raises(KeyboardInterrupt):
        await house.garbage.collect(quiet)
    assert await house.count(blobs) == 0
    assert await house.stored() == {str(digest)}
    object.__setattr__(house.garbage, "blobs", house.content)
    house.clock.pass_(timedelta(hours=26))
    await house.garbage.collect(quiet)
    assert await house.stored() == set()


async def test_collecting_twice_is_collecting_once(house: House) -> None:
    repository = await house.repository()
    await house.blob(repository, b"loose")
    house.clock.pass_(GRACE + timedelta(minutes=1))
    first, second = await house.garbage.collect(quiet), await house.garbage.collect(quiet)
    assert (first.blobs.count, second.blobs.count) == (1, 0)


async def test_a_second_collector_is_turned_away(house: House, tmp_path: Path) -> None:
    async with house.database.write() as unit:
        await try_lease(unit, "garbage", "somebody", house.clock.now(), timedelta(minutes=5))
    with pytest.raises(GarbageRunningError):
        await house.garbage.collect(quiet)


async def test_an_upload_nobody_finished_goes_after_its_lifetime(house: House) -> None:
    repository = await house.repository()
    part = house.folder.uploads / "upload.part"
    part.write_bytes(b"half")
    async with house.database.write() as unit:
        await store.add_upload(unit, "upload", repository, None, house.clock.now())
        await store.advance_upload(
            unit, "upload", expected=0, offset=4, parts=[part.name], sha256=None, now=house.clock.now()
        )
    assert (await house.garbage.collect(quiet)).uploads == 0
    assert part.exists()
    house.clock.pass_(timedelta(days=7, minutes=1))
    assert (await house.garbage.collect(quiet)).uploads == 1
    assert not part.exists()


async def test_many_dead_blobs_go_page_by_page(house: House) -> None:
    repository, now = await house.repository(), house.clock.now()
    rows = [
        {"digest": f"sha256:{number:064x}", "generation": "00000000", "size": 1, "created_at": now, "touched_at": now}
        for number in range(1700)
    ]
    async with house.database.write() as unit:
        await unit.execute(insert(blobs), rows)
        linked = [{"repository_id": repository, "digest": row["digest"], "linked_at": now} for row in rows]
        await unit.execute(insert(blob_links), linked)
    house.clock.pass_(GRACE + timedelta(minutes=1))
    assert (await house.garbage.collect(quiet)).blobs.count == len(rows)
    assert await house.count(blobs) == 0


async def test_verification_puts_what_differs_aside_and_pushing_it_again_mends_it(house: House) -> None:
    repository = await house.repository()
    whole, broken, lost = [await house.blob(repository, data) for data in (b"whole", b"broken", b"lost")]
    keys = {str(item.key.digest): item.key async for item in house.content.list()}
    house.content.locate(keys[str(broken)]).path.write_bytes(b"bro\x00en")
    await house.content.delete(keys[str(lost)])
    verification = Verification(house.database, house.content, house.clock)
    result = await verification.run(quiet)
    damaged = {(str(item.digest), item.damage, item.repositories) for item in result.damaged}
    assert damaged == {
        (str(broken), Damage.DIFFERENT, ("ada/app",)),
        (str(lost), Damage.MISSING, ("ada/app",)),
    }
    assert len(list(house.folder.quarantine.iterdir())) == 1
    assert (await verification.run(quiet)).damaged == []
    await house.blob(repository, b"broken")
    assert (await verification.run(quiet)).damaged == []
    assert await house.stored() == {str(whole), str(broken)}
