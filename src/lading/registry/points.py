"""The questions of the hot path: each one prepared SELECT that answers who asks, about what, and whether it is there.

One row always comes back. Account columns are NULL for anonymous callers and for accounts that are gone; repository columns
when there is no such repository; content columns when it has no such thing. Every GET and HEAD costs exactly one.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, literal_column, select
from sqlalchemy.sql.elements import KeyedColumnElement

from lading.access import ANONYMOUS, Principal, Repository, Visibility
from lading.accounts.tables import accounts
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Point, Points
from lading.registry.tables import blob_links, blobs, manifests, repositories, tags, uploads

_one = select(literal_column("1").label("one")).subquery("one")
_asked: FromClause = _one.outerjoin(accounts, accounts.c.id == bindparam("account")).outerjoin(
    repositories, repositories.c.full_name == bindparam("name")
)
_COLUMNS: tuple[KeyedColumnElement[object], ...] = (
    accounts.c.name,
    accounts.c.is_active,
    accounts.c.is_admin,
    accounts.c.credential_epoch,
    repositories.c.id,
    repositories.c.visibility,
    repositories.c.immutable_tags,
)


def _question(asked: FromClause, *more: ColumnElement[object]) -> Point:
    return Point(select(*_COLUMNS, *more).select_from(asked))


_REPOSITORY = _question(_asked)
_BY_TAG = _question(
    _asked.outerjoin(tags, and_(tags.c.repository_id == repositories.c.id, tags.c.name == bindparam("tag"))).outerjoin(
        manifests, and_(manifests.c.repository_id == tags.c.repository_id, manifests.c.digest == tags.c.digest)
    ),
    manifests.c.digest,
    manifests.c.media_type,
    manifests.c.size,
    manifests.c.touched_at,
)
_BY_DIGEST = _question(
    _asked.outerjoin(
        manifests, and_(manifests.c.repository_id == repositories.c.id, manifests.c.digest == bindparam("digest"))
    ),
    manifests.c.digest,
    manifests.c.media_type,
    manifests.c.size,
    manifests.c.touched_at,
)
_BLOB = _question(
    _asked.outerjoin(
        blob_links, and_(blob_links.c.repository_id == repositories.c.id, blob_links.c.digest == bindparam("digest"))
    ).outerjoin(blobs, blobs.c.digest == blob_links.c.digest),
    blobs.c.generation,
    blobs.c.size,
    blobs.c.touched_at,
)
_UPLOAD = _question(
    _asked.outerjoin(uploads, and_(uploads.c.id == bindparam("upload"), uploads.c.repository_id == repositories.c.id)),
    uploads.c.account_id,
    uploads.c.offset,
    uploads.c.parts,
    uploads.c.sha256,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, and about which repository, as both are now. `principal` is None when the account is gone."""

    principal: Principal | None
    epoch: int
    name: RepositoryName
    repository_id: str | None
    resource: Repository
    immutable_tags: bool


@dataclass(frozen=True, slots=True)
class ManifestFound:
    """A manifest of the repository asked about."""

    digest: Digest
    media_type: str
    size_bytes: int
    touched_at: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class BlobFound:
    """A blob that the repository asked about may serve."""

    generation: str
    size_bytes: int
    touched_at: int  # microseconds since 1970


@dataclass(frozen=True, slots=True)
class UploadFound:
    """An unfinished upload of the repository asked about. `parts` are names in staging, in order."""

    id: str
    account_id: str | None
    offset: int
    parts: tuple[str, ...]
    sha256: str | None


class RegistryPoints:
    """Asks the questions. `account` is an account's id, None for anonymous callers."""

    def __init__(self, points: Points) -> None:
        self._points = points

    async def repository(self, account: str | None, name: RepositoryName) -> Asked:
        row = await self._points.first(_REPOSITORY, account=account, name=name.text)
        return _asked_of(row, account, name)

    async def manifest(
        self, account: str | None, name: RepositoryName, reference: Tag | Digest
    ) -> tuple[Asked, ManifestFound | None]:
        """The manifest that `reference` names now."""
        if isinstance(reference, Tag):
            row = await self._points.first(_BY_TAG, account=account, name=name.text, tag=reference.text)
        else:
            row = await self._points.first(_BY_DIGEST, account=account, name=name.text, digest=reference.text)
        asked = _asked_of(row, account, name)
        if row is None or row[7] is None:
            return asked, None
        return asked, ManifestFound(Digest(row[7]), row[8], row[9], row[10])

    async def blob(self, account: str | None, name: RepositoryName, digest: Digest) -> tuple[Asked, BlobFound | None]:
        row = await self._points.first(_BLOB, account=account, name=name.text, digest=digest.text)
        asked = _asked_of(row, account, name)
        if row is None or row[7] is None:
            return asked, None
        return asked, BlobFound(row[7], row[8], row[9])

    async def upload(
        self, account: str | None, name: RepositoryName, upload_id: str
    ) -> tuple[Asked, UploadFound | None]:
        row = await self._points.first(_UPLOAD, account=account, name=name.text, upload=upload_id)
        asked = _asked_of(row, account, name)
        if row is None or row[8] is None:
            return asked, None
        return asked, UploadFound(upload_id, row[7], row[8], tuple(row[9].split()), row[10])


def _asked_of(row: object, account: str | None, name: RepositoryName) -> Asked:
    account_name, is_active, is_admin, epoch, repository_id, visibility, immutable = row[:7]  # type: ignore[index]
    if account is None:
        principal: Principal | None = ANONYMOUS
    elif account_name is None:
        principal = None
    else:
        principal = Principal(account, account_name, bool(is_admin), bool(is_active))
    return Asked(
        principal,
        epoch if epoch is not None else 0,
        name,
        repository_id,
        Repository(name.namespace, None if visibility is None else _VISIBILITIES[visibility]),
        bool(immutable),
    )


_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}
