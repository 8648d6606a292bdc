"""The questions of the hot path: each one prepared SELECT that answers who asks, about what, and whether it is there.

One row always comes back. Account columns are NULL for anonymous callers and for accounts that are gone; repository columns
when there is no such repository; content columns when it has no such thing. Every GET and HEAD costs exactly one.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, FromClause, and_, bindparam, case, literal_column, null, or_, select

from lading.access import ANONYMOUS, Principal, Repository, Visibility
from lading.accounts.grant_store import grants_text, parse_grants
from lading.accounts.tables import access_tokens, accounts
from lading.core.digests import Digest
from lading.core.names import RepositoryName, Tag
from lading.database import Point, Points
from lading.database.points import Row
from lading.registry.tables import blob_links, blobs, manifests, repositories, tags, uploads

_one = select(literal_column("1").label("one")).subquery("one")
_asked: FromClause = (
    _one.outerjoin(accounts, accounts.c.id == bindparam("account"))
    .outerjoin(access_tokens, access_tokens.c.id == bindparam("via"))
    .outerjoin(repositories, repositories.c.full_name == bindparam("name"))
)
# Admins and owners need no grant, so theirs are not looked up.
_held = case(
    (or_(accounts.c.is_admin, accounts.c.name == bindparam("namespace")), null()),
    else_=grants_text(accounts.c.id, bindparam("namespace"), bindparam("name")),
)
_COLUMNS: tuple[ColumnElement[object], ...] = (
    accounts.c.name,
    accounts.c.is_active,
    accounts.c.is_admin,
    accounts.c.credential_epoch,
    repositories.c.id,
    repositories.c.visibility,
    repositories.c.immutable_tags,
    _held.label("held"),
    access_tokens.c.is_active,
    access_tokens.c.narrowing,
)
_CONTENT = len(_COLUMNS)
"""Where the columns of what was asked for begin."""


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


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: an account's id, None for anonymous callers, and the id of the access token that it came by, if one."""

    account_id: str | None = None
    access_token_id: str | None = None


class RegistryPoints:
    """Asks the questions."""

    def __init__(self, points: Points) -> None:
        self._points = points

    async def repository(self, asker: Asker, name: RepositoryName) -> Asked:
        return _asked_of(await self._first(_REPOSITORY, asker, name), asker, name)

    async def manifest(
        self, asker: Asker, name: RepositoryName, reference: Tag | Digest
    ) -> tuple[Asked, ManifestFound | None]:
        """The manifest that `reference` names now."""
        if isinstance(reference, Tag):
            row = await self._first(_BY_TAG, asker, name, tag=reference.text)
        else:
            row = await self._first(_BY_DIGEST, asker, name, digest=reference.text)
        digest, media_type, size, touched_at = row[_CONTENT:]
        found = None if digest is None else ManifestFound(Digest(digest), media_type, size, touched_at)
        return _asked_of(row, asker, name), found

    async def blob(self, asker: Asker, name: RepositoryName, digest: Digest) -> tuple[Asked, BlobFound | None]:
        row = await self._first(_BLOB, asker, name, digest=digest.text)
        generation, size, touched_at = row[_CONTENT:]
        return _asked_of(row, asker, name), None if generation is None else BlobFound(generation, size, touched_at)

    async def upload(self, asker: Asker, name: RepositoryName, upload_id: str) -> tuple[Asked, UploadFound | None]:
        row = await self._first(_UPLOAD, asker, name, upload=upload_id)
        account_id, offset, parts, sha256 = row[_CONTENT:]
        found = None if offset is None else UploadFound(upload_id, account_id, offset, tuple(parts.split()), sha256)
        return _asked_of(row, asker, name), found

    async def _first(self, point: Point, asker: Asker, name: RepositoryName, **values: str) -> Row:
        row = await self._points.first(
            point,
            account=asker.account_id,
            via=asker.access_token_id,
            namespace=name.namespace,
            name=name.text,
            **values,
        )
        if row is None:
            raise RuntimeError("a question always has an answer")
        return row


def _asked_of(row: Row, asker: Asker, name: RepositoryName) -> Asked:
    account, is_active, is_admin, epoch, repository_id, visibility, immutable, held, token_is_good, narrowing = row[
        :_CONTENT
    ]
    if asker.account_id is None:
        principal: Principal | None = ANONYMOUS
    elif account is None or (asker.access_token_id is not None and not token_is_good):
        principal = None
    else:
        principal = Principal(
            asker.account_id,
            account,
            is_admin=bool(is_admin),
            is_active=bool(is_active),
            grants=parse_grants(held),
            narrowing=None if narrowing is None else parse_grants(narrowing),
        )
    return Asked(
        principal,
        epoch if epoch is not None else 0,
        name,
        repository_id,
        Repository(name.namespace, name.name, None if visibility is None else _VISIBILITIES[visibility]),
        bool(immutable),
    )


_VISIBILITIES = {visibility.value: visibility for visibility in Visibility}
