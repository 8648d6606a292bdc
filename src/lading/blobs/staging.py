"""Bytes on their way in: parts of unfinished uploads, durable before they are acknowledged, invisible until they are blobs.

Each part is a file of its own that never changes: `uploads/<upload id>.<random>`. Which parts belong to an upload, in which
order, says its database row; so two requests that race for one upload can't mix their bytes, and a part whose request lost
is merely swept. nginx unlinks its spool file when the client goes away: a part is renamed first and worked on after.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lading.core.digests import Digest
from lading.core.errors import InvalidError, TooLargeError, UnavailableError

_WRITE = 1024 * 1024


class BodyCutError(InvalidError):
    """The client went away, or sent less than it said."""

    code = "BLOB_UPLOAD_INVALID"

    def __init__(self) -> None:
        super().__init__("the body ended early; ask the upload's status and send the rest")


@dataclass(frozen=True, slots=True)
class Part:
    """Staged bytes, on the disk. `sha256` is their digest, hex."""

    name: str
    size_bytes: int
    sha256: str


class Staging:
    """The folder of unfinished uploads. `threads` bounds how many parts are hashed at once."""

    def __init__(self, folder: Path, *, threads: int = 4) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="staging")

    async def take(self, spooled: Path, upload_id: str) -> Part:
        """The spooled file as a part, on the disk. Errors: BodyCutError when nginx has already dropped it."""
        path = self._new(upload_id)
        try:
            spooled.rename(path)
        except FileNotFoundError as error:
            raise BodyCutError from error
        return await self._settle(path)

    async def write(self, body: AsyncIterator[bytes], upload_id: str, *, limit_bytes: int) -> Part:
        """The streamed body as a part, on the disk; nothing is kept when the stream fails.

        Errors: TooLargeError beyond `limit_bytes` (0: none); whatever `body` raises; UnavailableError when the disk is full.
        """
        path = self._new(upload_id)
        loop = asyncio.get_running_loop()
        size, pending = 0, bytearray()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123, ASYNC230 — a descriptor; written in the pool
                async for chunk in body:
                    size += len(chunk)
                    _check_size(size, limit_bytes)
                    pending += chunk
                    if len(pending) >= _WRITE:
                        await loop.run_in_executor(self._pool, _write_all, file.fileno(), bytes(pending))
                        pending.clear()
                if pending:
                    await loop.run_in_executor(self._pool, _write_all, file.fileno(), bytes(pending))
            return await self._settle(path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UnavailableError("the upload can't be stored; see the server's log") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    async def _settle(self, path: Path) -> Part:
        """Hashes and syncs at the same time: one waits for the processor, the other for the disk."""
        loop = asyncio.get_running_loop()
        try:
            syncing = loop.run_in_executor(self._pool, _sync, path)
            size, sha256 = await loop.run_in_executor(self._pool, _measure, path)
            await syncing
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UnavailableError("the upload can't be stored; see the server's log") from error
        return Part(path.name, size, sha256)

    async def assemble(self, upload_id: str, names: Sequence[str]) -> Path:
        """One file with the bytes of all parts in order, on the disk; the parts stay until `discard`.

        Errors: FileNotFoundError when one is gone; UnavailableError when the disk is full.
        """
        if len(names) == 1:
            return self._folder / names[0]
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._join, upload_id, names)

    def _join(self, upload_id: str, names: Sequence[str]) -> Path:
        path = self._new(upload_id)
        try:
            with path.open("wb") as target:
                for name in names:
                    with (self._folder / name).open("rb") as source:
                        shutil.copyfileobj(source, target, _WRITE)
                target.flush()
                os.fdatasync(target.fileno())
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            raise
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UnavailableError("the upload can't be put together; see the server's log") from error
        return path

    async def digest(self, path: Path, algorithm: str) -> Digest:
        """The digest of a staged file."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, Digest.of_file, path, algorithm)

    async def discard(self, names: Sequence[str]) -> None:
        """The parts are gone; also when they were not there."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name).unlink()

    def sweep(self, keep: frozenset[str], *, older_than_seconds: float) -> int:
        """How many leftovers went: parts that no upload names and that nobody wrote for a while. Blocks."""
        gone, limit = 0, time.time() - older_than_seconds
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name not in keep and entry.stat().st_mtime < limit:
                        Path(entry.path).unlink()
                        gone += 1
        return gone

    def free_bytes(self) -> int:
        """How much more the disk takes."""
        return shutil.disk_usage(self._folder).free

    def _new(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.{secrets.token_hex(6)}"


def _check_size(size: int, limit_bytes: int) -> None:
    if limit_bytes and size > limit_bytes:
        raise TooLargeError(f"the body has more than the {limit_bytes} bytes allowed")


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fdatasync(file.fileno())


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return os.fstat(file.fileno()).st_size, digest
