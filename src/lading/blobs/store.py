"""What keeps blobs: the contract of every backend.

A blob is stored under its digest *and* a generation, a random word that the database row holds. So a push of a digest that
is being deleted stores a new object beside the dying one, and neither can take the other with it.
"""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, Self

from lading.core.digests import Digest
from lading.core.errors import UnknownError


@dataclass(frozen=True, slots=True)
class BlobKey:
    """Where one blob is: its digest and the generation of this copy."""

    digest: Digest
    generation: str  # 8 hex digits

    @classmethod
    def new(cls, digest: Digest) -> Self:
        """A key that no copy has had before."""
        return cls(digest, secrets.token_hex(4))


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """One object that a backend holds, as its listing tells."""

    key: BlobKey
    size_bytes: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A blob that lies in a file here. `accelerated` is the path by which nginx may send it."""

    path: Path
    accelerated: str


class BlobMissingError(UnknownError):
    """The database names a blob that the backend does not have: storage was damaged."""

    code = "BLOB_UNKNOWN"

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"the content of {digest} is missing from the storage; tell the registry's administrator")


class BlobStore(Protocol):
    """Bytes, each kept once under its key. Every method may raise UnavailableError when the storage does not answer."""

    async def put(self, staged: Path, key: BlobKey) -> None:
        """The staged file's bytes are kept under `key`, durably; the file is gone afterwards. May be repeated."""
        ...

    def locate(self, key: BlobKey) -> LocalFile:
        """Where a door can send the blob from, without asking whether it is there."""
        ...

    def read(self, key: BlobKey, *, start: int = 0) -> AsyncIterator[bytes]:
        """The blob's bytes from offset `start`, in chunks of any size, none empty.

        Errors: BlobMissingError before the first chunk.
        """
        ...

    async def delete(self, *keys: BlobKey) -> None:
        """The blobs are gone; also those that were not there. Give some hundred at once, where there are many."""
        ...

    async def quarantine(self, key: BlobKey) -> None:
        """The blob is no longer served and is kept aside for people to look at. Errors: BlobMissingError."""
        ...

    def list(self) -> AsyncIterator[StoredBlob]:
        """Everything the backend holds, in no order."""
        ...

    async def check(self) -> None:
        """Returns when the storage can be written and read. Errors: UnavailableError, which says what is wrong."""
        ...

    async def free_bytes(self) -> int | None:
        """How much more fits; None when the backend can't tell."""
        ...
