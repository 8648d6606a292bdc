"""Uploads: from the first POST to a blob that the repository may serve.

Two steps, because nginx asks before it reads a body. `check` sees the headers alone and gives a verdict: who, where, from
which byte on. `start`, `append` and `finish` get the verdict and the bytes; they rely on the verdict, not on the token, which
may have expired while the bytes came. Nothing is acknowledged before it is on the disk.
"""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec

from lading.access import Permission, Principal, decide
from lading.blobs.staging import Part, Staging
from lading.blobs.store import BlobKey, BlobStore
from lading.core.clock import Clock
from lading.core.digests import Digest, DigestInvalidError
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry import store
from lading.registry.challenge import Caller
from lading.registry.creation import create_repository
from lading.registry.errors import (
    ChunkOutOfOrderError,
    ContentTooLargeError,
    DisabledError,
    NameUnknownError,
    StorageFullError,
    UploadInvalidError,
    UploadUnknownError,
)
from lading.registry.points import Asked, RegistryPoints, UploadFound
from lading.registry.switches import CurrentSwitches

CHUNK_MINIMUM = 65536  # bytes; advice to clients: smaller chunks are taken, and cost as much as this
_PARTS_LIMIT = 10_000
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?", re.ASCII)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what comes in. Units: bytes; 0 is no limit of blobs."""

    blob_bytes: int = 0
    reserve_bytes: int = 0


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """What the headers of a request to an upload tell."""

    method: str
    name: RepositoryName
    upload_id: str  # empty: a new one
    digest: Digest | None = None
    mount: Digest | None = None
    mount_from: RepositoryName | None = None
    length: int | None = None  # Content-Length
    content_range: str | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What `check` found: enough to go on without asking again."""

    name: str
    repository_id: str | None  # None: to be created
    account_id: str | None
    account: str
    is_admin: bool
    upload_id: str = ""
    offset: int = 0
    parts: tuple[str, ...] = ()
    sha256: str | None = None
    body_bytes: int | None = None  # what the chunk must have, when it said so
    may_mount: bool = False

    @property
    def principal(self) -> Principal:
        return Principal(self.account_id, self.account, self.is_admin)

    @property
    def repository(self) -> RepositoryName:
        return RepositoryName(self.name)


@dataclass(frozen=True, slots=True)
class Stored:
    """The blob is the repository's."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Begun:
    """The upload goes on at `offset`."""

    upload_id: str
    offset: int


@dataclass
class UploadCounts:
    """What became blobs since this process began."""

    uploads: int = 0
    size_bytes: int = 0


class Body:
    """A request's body: a file that nginx spooled, or a stream."""

    def __init__(self, *, spooled: Path | None = None, stream: AsyncIterator[bytes] | None = None) -> None:
        self._spooled = spooled
        self._stream = stream

    async def stage(self, staging: Staging, upload_id: str, limit_bytes: int) -> Part | None:
        """The body as a staged part, on the disk; None when it is empty."""
        if self._spooled is not None:
            if not self._spooled.exists() or not self._spooled.stat().st_size:
                return None
            return await staging.take(self._spooled, upload_id)
        if self._stream is None:
            return None
        part = await staging.write(self._stream, upload_id, limit_bytes=limit_bytes)
        if part.size_bytes:
            return part
        await staging.discard([part.name])
        return None


@dataclass(frozen=True)
class Uploads:
    """The use cases of uploading."""

    database: Database
    points: RegistryPoints
    staging: Staging
    blobs: BlobStore
    clock: Clock
    switches: CurrentSwitches
    limits: Limits
    replica: str  # begins every upload id, so that other replicas know whose it is
    grace: timedelta
    counts: UploadCounts = field(default_factory=UploadCounts)

    # --- before the body -------------------------------------------------------------------------------------------

    async def check(self, caller: Caller, request: UploadRequest) -> Verdict:
        """The verdict on a request, from its headers alone.

        Errors: ChallengeError, NameUnknownError, UploadUnknownError, ChunkOutOfOrderError, ContentTooLargeError,
        StorageFullError, DisabledError, UploadInvalidError.
        """
        caller.require(
            request.name, "pull,push" if not request.upload_id else "push", self._mount_scope(caller, request)
        )
        switches = self.switches()
        if switches.read_only and request.method != "GET":
            raise DisabledError("the registry is in read-only mode")
        if request.method == "DELETE" and not switches.deletes:
            raise DisabledError("deletion is switched off (registry.deletes)")
        asked, upload = await self._asked(caller, request)
        caller.check(asked, "push")
        self._check_repository(asked, create=switches.create_repository_on_push)
        verdict = _verdict(asked)
        if request.upload_id:
            # Somebody else's upload and none at all get the same answer (CVE-2026-32589).
            if upload is None or upload.account_id != verdict.account_id:
                raise UploadUnknownError
            verdict = replace_upload(verdict, upload)
        elif request.mount is not None:
            verdict = _replace(verdict, may_mount=await self._may_mount(caller, request, asked))
        if request.method in {"POST", "PATCH", "PUT"}:
            verdict = _replace(verdict, body_bytes=self._check_body(request, verdict))
        return verdict

    async def _asked(self, caller: Caller, request: UploadRequest) -> tuple[Asked, UploadFound | None]:
        if request.upload_id:
            return await self.points.upload(caller.asker, request.name, request.upload_id)
        return await self.points.repository(caller.asker, request.name), None

    def _mount_scope(self, caller: Caller, request: UploadRequest) -> str:
        source = request.mount_from
        if request.mount is None or source is None or caller.knows(source) or not caller.knows(request.name):
            return f"repository:{source}:pull" if request.mount is not None and source is not None else ""
        # The token was fetched without the source in mind: ask for one that was. When that is not granted pull on it
        # either, the upload simply begins.
        raise caller.challenge(request.name, "pull,push", f"repository:{source}:pull")

    async def _may_mount(self, caller: Caller, request: UploadRequest, target: Asked) -> bool:
        source = request.mount_from
        if source is None:
            # From wherever the account may read it; looked up when mounting. A narrowed token has to name it.
            return target.principal is not None and target.principal.narrowing is None
        if request.mount is None or not caller.holds(source, "pull"):
            return False
        asked, found = await self.points.blob(caller.asker, source, request.mount)
        if asked.principal is None:
            return False
        allowed = decide(
            asked.principal, Permission.PULL, asked.resource, anonymous_access=self.switches().anonymous_access
        )
        return bool(allowed) and found is not None

    def _check_repository(self, asked: Asked, *, create: bool) -> None:
        if asked.repository_id is not None:
            return
        may = asked.principal is not None and decide(asked.principal, Permission.CREATE_REPOSITORY, asked.resource)
        if not (create and may):
            raise NameUnknownError(asked.name, can_create=bool(may))

    def _check_body(self, request: UploadRequest, verdict: Verdict) -> int | None:
        """How many bytes the body must have, when that is known."""
        expected = request.length
        if request.content_range is not None:
            match = _CONTENT_RANGE.fullmatch(request.content_range)
            if match is None or int(match[2]) < int(match[1]):
                raise UploadInvalidError("Content-Range is not START-END")
            first, last = int(match[1]), int(match[2])
            if first != verdict.offset:
                location = f"/v2/{verdict.name}/blobs/uploads/{verdict.upload_id}"
                raise ChunkOutOfOrderError(location, verdict.upload_id, verdict.offset)
            if expected is not None and expected != last - first + 1:
                raise UploadInvalidError("Content-Range and Content-Length tell different lengths")
            expected = last - first + 1
        total = verdict.offset + (expected or 0)
        if self.limits.blob_bytes and total > self.limits.blob_bytes:
            raise ContentTooLargeError(
                f"a blob may have at most {self.limits.blob_bytes} bytes, this one has {total} or more"
            )
        if self.staging.free_bytes() - (expected or 0) < self.limits.reserve_bytes:
            raise StorageFullError
        return expected

    # --- with the body ---------------------------------------------------------------------------------------------

    async def start(self, verdict: Verdict, digest: Digest | None, mount: Digest | None, body: Body) -> Stored | Begun:
        """POST: the blob mounted, stored whole (with `digest`), or a new upload.

        Errors: DigestInvalidError, BodyCutError, UploadInvalidError, UnavailableError.
        """
        verdict = await self._with_repository(verdict)
        if mount is not None and verdict.may_mount and await self._mount(verdict, mount):
            return Stored(mount)
        upload_id = f"{self.replica}-{secrets.token_hex(16)}"
        if digest is not None and mount is None:
            verdict = _replace(verdict, upload_id=upload_id)
            part = await self._stage(verdict, body)
            if part is not None or digest == Digest.of(b"", digest.algorithm):
                return await self._store(verdict, digest, [part] if part else [])
        now = self.clock.now()
        async with store.unit_in(self.database, verdict.repository, durable=False) as unit:
            await store.add_upload(unit, upload_id, _id(verdict), verdict.account_id, now)
        return Begun(upload_id, 0)

    async def append(self, verdict: Verdict, body: Body) -> Begun:
        """PATCH: the bytes are part of the upload, on the disk.

        Errors: ChunkOutOfOrderError when another request was faster; BodyCutError, UploadInvalidError, UnavailableError.
        """
        part = await self._stage(verdict, body)
        if part is None:
            return Begun(verdict.upload_id, verdict.offset)
        parts = (*verdict.parts, part.name)
        if len(parts) > _PARTS_LIMIT:
            await self.staging.discard([part.name])
            raise UploadInvalidError(f"an upload takes at most {_PARTS_LIMIT} chunks: send larger ones")
        offset = verdict.offset + part.size_bytes
        # Not yet a push that was acknowledged: what the machine's death takes, the client sends again.
        try:
            async with self.database.write(durable=False) as unit:
                moved = await store.advance_upload(
                    unit,
                    verdict.upload_id,
                    expected=verdict.offset,
                    offset=offset,
                    parts=parts,
                    sha256=part.sha256 if len(parts) == 1 else None,
                    now=self.clock.now(),
                )
        except BaseException:
            await self.staging.discard([part.name])
            raise
        if not moved:
            await self.staging.discard([part.name])
            location = f"/v2/{verdict.name}/blobs/uploads/{verdict.upload_id}"
            raise ChunkOutOfOrderError(location, verdict.upload_id, verdict.offset)
        return Begun(verdict.upload_id, offset)

    async def finish(self, verdict: Verdict, digest: Digest, body: Body) -> Stored:
        """PUT: the upload's bytes, with the last chunk when there is one, are a blob of the repository.

        Errors: DigestInvalidError (the upload is given up); BodyCutError, UploadInvalidError, UnavailableError.
        """
        part = await self._stage(verdict, body)
        staged = [Part(name, 0, "") for name in verdict.parts]
        if len(staged) == 1 and verdict.sha256:
            staged = [Part(verdict.parts[0], verdict.offset, verdict.sha256)]
        return await self._store(verdict, digest, [*staged, *([part] if part else [])])

    async def cancel(self, verdict: Verdict) -> None:
        """DELETE: the upload and its bytes are gone."""
        async with self.database.write() as unit:
            await store.delete_upload(unit, verdict.upload_id)
        await self.staging.discard(verdict.parts)

    # --- steps -----------------------------------------------------------------------------------------------------

    async def _with_repository(self, verdict: Verdict) -> Verdict:
        if verdict.repository_id is not None:
            return verdict
        async with self.database.write() as unit:
            made = await create_repository(unit, verdict.repository, by=verdict.account_id, now=self.clock.now())
        return _replace(verdict, repository_id=made)

    async def _mount(self, verdict: Verdict, digest: Digest) -> bool:
        now = self.clock.now()
        anonymous = self.switches().anonymous_access
        async with store.unit_in(self.database, verdict.repository) as unit:
            # Without a named source the account's own rights decide, not the token's scopes, which can't name it.
            if not await store.is_blob_visible(unit, verdict.principal, digest, anonymous_access=anonymous):
                return False
            if not await store.touch_blob(unit, digest, now):
                return False
            await store.link_blob(unit, _id(verdict), digest, now)
        return True

    async def _stage(self, verdict: Verdict, body: Body) -> Part | None:
        """The body as a part, as long as it said to be; None when it is empty."""
        part = await body.stage(self.staging, verdict.upload_id, self.limits.blob_bytes)
        size = part.size_bytes if part is not None else 0
        if verdict.body_bytes is None or size == verdict.body_bytes:
            return part
        await self.staging.discard([part.name] if part is not None else [])
        raise UploadInvalidError(f"the body has {size} bytes, it said {verdict.body_bytes}; send it again")

    async def _store(self, verdict: Verdict, digest: Digest, parts: list[Part]) -> Stored:
        names = [part.name for part in parts]
        try:
            path, size = await self._assembled(verdict, digest, parts)
            names.append(path.name)
            await self._keep(verdict, digest, path, size)
        except BaseException:
            # What the upload had before this request it has still, so that its status tells the truth.
            await self.staging.discard([name for name in names if name not in verdict.parts])
            raise
        await self.staging.discard(names)
        self.counts.uploads += 1
        self.counts.size_bytes += size
        return Stored(digest)

    async def _assembled(self, verdict: Verdict, digest: Digest, parts: list[Part]) -> tuple[Path, int]:
        names = [part.name for part in parts]
        try:
            path = await self.staging.assemble(verdict.upload_id, names)
            size = path.stat().st_size
        except FileNotFoundError as error:  # an earlier try took a part, and failed after that
            raise UploadUnknownError from error
        if len(parts) == 1 and parts[0].sha256 and digest.algorithm == "sha256":
            found = Digest(f"sha256:{parts[0].sha256}")
        else:
            found = await self.staging.digest(path, digest.algorithm)
        if found == digest:
            return path, size
        async with self.database.write() as unit:
            await store.delete_upload(unit, verdict.upload_id)
        await self.staging.discard([*names, path.name])
        raise DigestInvalidError(f"the content's digest is {found}, it was sent as {digest}; nothing was stored")

    async def _keep(self, verdict: Verdict, digest: Digest, path: Path, size: int) -> None:
        """One copy is kept, ours or an earlier one; collection may take an earlier one away at any moment before we link."""
        for _ in range(_ATTEMPTS):
            known = await store.find_blob(self.database.points, digest)
            if known is not None:
                if await self._link(verdict, digest):
                    return
                continue
            key = BlobKey.new(digest)
            await self.blobs.put(path, key)
            if not await self._link(verdict, digest, store.BlobRow(key.generation, size)):
                await self.blobs.delete(key)  # another request stored the same bytes first; theirs are linked
            return
        raise UploadInvalidError("the blob was deleted while it was pushed; push it again")

    async def _link(self, verdict: Verdict, digest: Digest, new: store.BlobRow | None = None) -> bool:
        """Links the blob, with its new row when given. False: the known row is gone, or the new one was not needed."""
        now = self.clock.now()
        async with store.unit_in(self.database, verdict.repository) as unit:
            if new is not None:
                used = await store.add_blob(unit, digest, new, now)
                if not used:
                    await store.touch_blob(unit, digest, now)
            else:
                used = await store.touch_blob(unit, digest, now)
                if not used:
                    return False
            await store.link_blob(unit, _id(verdict), digest, now)
            await store.delete_upload(unit, verdict.upload_id)
        return used


def replace_upload(verdict: Verdict, upload: UploadFound) -> Verdict:
    """The verdict with what is known of the upload."""
    return _replace(verdict, upload_id=upload.id, offset=upload.offset, parts=upload.parts, sha256=upload.sha256)


def _replace(verdict: Verdict, **changes: object) -> Verdict:
    return msgspec.structs.replace(verdict, **changes)


def _verdict(asked: Asked) -> Verdict:
    principal = asked.principal or Principal()
    return Verdict(
        name=asked.name.text,
        repository_id=asked.repository_id,
        account_id=principal.account_id,
        account=principal.name,
        is_admin=principal.is_admin,
    )


def _id(verdict: Verdict) -> str:
    if verdict.repository_id is None:
        raise RuntimeError("the repository is made before anything is put in it")
    return verdict.repository_id
