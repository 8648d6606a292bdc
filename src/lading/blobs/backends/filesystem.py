"""Blobs as files: `blobs/<algorithm>/<first 2 hex>/<hex>.<generation>`. The layout is known here only."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from lading.blobs.store import BlobKey, BlobMissingError, LocalFile, StoredBlob
from lading.core.digests import ALGORITHMS, Digest
from lading.core.errors import UnavailableError
from lading.core.folders import sync_folder

_CHUNK = 1024 * 1024
_NAME = re.compile(r"([0-9a-f]{64}|[0-9a-f]{128})\.([0-9a-f]{8})", re.ASCII)
_LIST_BATCH = 500


class FilesystemBlobs:
    """Blobs in a folder on this machine, or on a shared file system. `accelerated_root` is nginx's internal location."""

    def __init__(self, root: Path, quarantine: Path, *, accelerated_root: str = "/_blobs") -> None:
        self._root = root
        self._quarantine = quarantine
        self._accelerated_root = accelerated_root

    def _name(self, key: BlobKey) -> str:
        return f"{key.digest.algorithm}/{key.digest.hex[:2]}/{key.digest.hex}.{key.generation}"

    def locate(self, key: BlobKey) -> LocalFile:
        name = self._name(key)
        return LocalFile(self._root / name, f"{self._accelerated_root}/{name}")

    async def put(self, staged: Path, key: BlobKey) -> None:
        await asyncio.to_thread(self._put, staged, self._root / self._name(key))

    def _put(self, staged: Path, path: Path) -> None:
        try:
            if not path.parent.is_dir():
                self._fan_out(path.parent.parent)
            # The staged bytes are on the disk already (blobs.staging); the name has to be, too. The file is made young
            # again, so that a collection can't take it for a stray before its row is committed.
            os.utime(staged)
            staged.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            raise UnavailableError("the blob storage can't be written; see the server's log") from error

    def _fan_out(self, folder: Path) -> None:
        """All folders of an algorithm at once, so that one wait for the disk is enough for all of them."""
        for number in range(256):
            (folder / f"{number:02x}").mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder)
        sync_folder(self._root)

    async def read(self, key: BlobKey, *, start: int = 0) -> AsyncIterator[bytes]:
        path = self._root / self._name(key)
        try:
            file = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError as error:
            raise BlobMissingError(key.digest) from error
        with file:
            await asyncio.to_thread(file.seek, start)
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def delete(self, *keys: BlobKey) -> None:
        await asyncio.to_thread(self._delete, keys)

    def _delete(self, keys: Iterable[BlobKey]) -> None:
        for key in keys:
            (self._root / self._name(key)).unlink(missing_ok=True)

    async def quarantine(self, key: BlobKey) -> None:
        target = self._quarantine / f"{key.digest.algorithm}-{key.digest.hex}.{key.generation}"
        try:
            await asyncio.to_thread((self._root / self._name(key)).rename, target)
        except FileNotFoundError as error:
            raise BlobMissingError(key.digest) from error
        await asyncio.to_thread(sync_folder, self._quarantine)

    async def list(self) -> AsyncIterator[StoredBlob]:
        walk = self._walk()
        while batch := await asyncio.to_thread(lambda: list(islice(walk, _LIST_BATCH))):
            for item in batch:
                yield item

    def _walk(self) -> Iterator[StoredBlob]:
        for algorithm in ALGORITHMS:
            for folder in sorted((self._root / algorithm).glob("[0-9a-f][0-9a-f]")):
                with os.scandir(folder) as entries:
                    for entry in entries:
                        match = _NAME.fullmatch(entry.name)
                        if match is None:
                            continue
                        try:
                            stat = entry.stat()
                        except FileNotFoundError:  # deleted while we look
                            continue
                        key = BlobKey(Digest.parse(f"{algorithm}:{match[1]}"), match[2])
                        yield StoredBlob(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    async def check(self) -> None:
        probe = self._root / f".check.{os.getpid()}"
        try:
            await asyncio.to_thread(probe.write_bytes, b"ok")
            await asyncio.to_thread(probe.unlink)
        except OSError as error:
            raise UnavailableError(f"the blob storage can't be written: {error.strerror}") from error

    async def free_bytes(self) -> int | None:
        return shutil.disk_usage(self._root).free
