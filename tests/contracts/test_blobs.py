"""What every blob backend promises: one suite over each file of `blobs/backends`."""

import pkgutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lading.blobs import backends
from lading.blobs.backends.filesystem import FilesystemBlobs
from lading.blobs.store import BlobKey, BlobMissingError, BlobStore
from lading.core.digests import Digest

MAKERS: dict[str, Callable[[Path], BlobStore]] = {
    "filesystem": lambda folder: FilesystemBlobs(folder / "blobs", folder / "quarantine"),
}


def test_every_backend_is_under_the_contract() -> None:
    assert {module.name for module in pkgutil.iter_modules(backends.__path__)} == set(MAKERS)


@pytest.fixture(params=sorted(MAKERS))
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    for name in ("blobs", "quarantine"):
        (tmp_path / name).mkdir()
    return MAKERS[request.param](tmp_path)


def staged(folder: Path, data: bytes) -> tuple[Path, BlobKey]:
    path = folder / "staged"
    path.write_bytes(data)
    return path, BlobKey.new(Digest.of(data))


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_what_is_put_is_read_back(blobs: BlobStore, tmp_path: Path) -> None:
    path, key = staged(tmp_path, b"content")
    await blobs.put(path, key)
    assert await whole(blobs.read(key)) == b"content"
    assert await whole(blobs.read(key, start=3)) == b"tent"
    assert await whole(blobs.read(key, start=7)) == b""
    assert not path.exists()


async def test_an_empty_blob_is_a_blob(blobs: BlobStore, tmp_path: Path) -> None:
    path, key = staged(tmp_path, b"")
    await blobs.put(path, key)
    assert await whole(blobs.read(key)) == b""


async def test_a_missing_blob_is_told_before_the_first_chunk(blobs: BlobStore) -> None:
    with pytest.raises(BlobMissingError):
        await anext(blobs.read(BlobKey.new(Digest.of(b"nothing"))))


async def test_deleting_one_generation_leaves_the_other(blobs: BlobStore, tmp_path: Path) -> None:
    path, old = staged(tmp_path, b"content")
    await blobs.put(path, old)
    path, new = staged(tmp_path, b"content")
    await blobs.put(path, new)
    await blobs.delete(old)
    await blobs.delete(old)
    assert await whole(blobs.read(new)) == b"content"
    assert [item.key async for item in blobs.list()] == [new]


async def test_the_listing_names_every_blob_with_its_size(blobs: BlobStore, tmp_path: Path) -> None:
    expected = set()
    for number in range(20):
        path, key = staged(tmp_path, b"x" * number)
        await blobs.put(path, key)
        expected.add((key, number))
    assert {(item.key, item.size_bytes) async for item in blobs.list()} == expected


async def test_a_blob_in_quarantine_is_not_served(blobs: BlobStore, tmp_path: Path) -> None:
    path, key = staged(tmp_path, b"content")
    await blobs.put(path, key)
    await blobs.quarantine(key)
    with pytest.raises(BlobMissingError):
        await anext(blobs.read(key))
    assert [item async for item in blobs.list()] == []


async def test_a_healthy_storage_says_so(blobs: BlobStore) -> None:
    await blobs.check()
    free = await blobs.free_bytes()
    assert free is None or free > 0
