"""The SQL of repositories and tags as the REST doors show them. Each page is one statement along an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Visibility
from lading.accounts.tables import accounts
from lading.core.digests import Digest
from lading.core.names import RepositoryName
from lading.registry.tables import manifest_contents, manifests, repositories, tags


@dataclass(frozen=True, slots=True)
class StoredRepository:
    """A repository's row. `is_organization` tells what kind of account owns its namespace."""

    id: str
    name: RepositoryName
    visibility: Visibility
    short_description: str
    long_description: str
    immutable_tags: bool
    scan_on_push: bool
    enable_manifest_lists: bool
    tag_limit: int
    pulls: int
    pushes: int
    is_organization: bool


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A manifest of a repository. `author` is the name of who pushed it first; `content_size` counts what it names."""

    digest: str
    media_type: str
    size: int
    content_size: int
    config_digest: str | None
    config_media_type: str | None
    os: str | None
    architecture: str | None
    pushed_at: datetime


@dataclass(frozen=True, slots=True)
class StoredTag:
    """A tag and the manifest that it names. `author` is the name of who moved it last, empty when unknown."""

    name: str
    author: str
    created_at: datetime
    updated_at: datetime
    manifest: StoredManifest


REPOSITORY_COLUMNS = (
    repositories.c.id,
    repositories.c.full_name,
    repositories.c.visibility,
    repositories.c.short_description,
    repositories.c.long_description,
    repositories.c.immutable_tags,
    repositories.c.scan_on_push,
    repositories.c.enable_manifest_lists,
    repositories.c.tag_limit,
    repositories.c.pulls,
    repositories.c.pushes,
    accounts.c.is_organization,
)
_NAMES = tuple(column.name for column in REPOSITORY_COLUMNS)
_MANIFEST = (
    manifests.c.digest,
    manifests.c.media_type,
    manifests.c.size,
    manifests.c.content_size,
    manifests.c.config_digest,
    manifests.c.config_media_type,
    manifests.c.os,
    manifests.c.architecture,
    manifests.c.pushed_at,
)
_TAG = (tags.c.name, tags.c.author, accounts.c.name, tags.c.created_at, tags.c.updated_at)


def joined_repositories(*more: ColumnElement[Any]) -> Select[Any]:
    """Repositories with what is needed of their accounts, and more columns after those."""
    return select(*REPOSITORY_COLUMNS, *more).outerjoin(accounts, accounts.c.name == repositories.c.namespace)


def repository_of(row: Sequence[Any]) -> StoredRepository:
    values = dict(zip(_NAMES, row, strict=True))
    return StoredRepository(
        name=RepositoryName(values.pop("full_name")),
        visibility=Visibility(values.pop("visibility")),
        is_organization=bool(values.pop("is_organization")),
        **values,
    )


async def find_repository(connection: AsyncConnection, name: RepositoryName) -> StoredRepository | None:
    row = (await connection.execute(joined_repositories().where(repositories.c.full_name == name.text))).one_or_none()
    return None if row is None else repository_of(row)


def in_namespace(namespace: str) -> ColumnElement[bool]:
    """The WHERE clause of a namespace: a stretch of the index of whole names ('0' follows '/')."""
    return and_(repositories.c.full_name > f"{namespace}/", repositories.c.full_name < f"{namespace}0")


async def list_repositories(
    connection: AsyncConnection, where: ColumnElement[bool], *, start: str, limit: int
) -> list[StoredRepository]:
    """Repositories from the whole name `start` on, in code point order."""
    wanted = (
        joined_repositories()
        .where(where, repositories.c.full_name >= start)
        .order_by(repositories.c.full_name)
        .limit(limit)
    )
    return [repository_of(row) for row in await connection.execute(wanted)]


async def count_repositories(connection: AsyncConnection, where: ColumnElement[bool]) -> int:
    return int(await connection.scalar(select(func.count()).select_from(repositories).where(where)) or 0)


async def change_repository(unit: AsyncConnection, repository_id: str, now: datetime, **values: object) -> None:
    """Sets columns of the repository. Keys are column names."""
    await unit.execute(update(repositories).where(repositories.c.id == repository_id).values(updated_at=now, **values))


async def delete_repository(unit: AsyncConnection, repository_id: str) -> bool:
    """The repository is gone, and with it its tags, manifests, links and uploads (their rows refer to it, or to those)."""
    gone = await unit.execute(delete(repositories).where(repositories.c.id == repository_id))
    return bool(gone.rowcount)


def _tags(repository_id: str) -> Select[Any]:
    return (
        select(*_TAG, *_MANIFEST)
        .join(manifests, and_(manifests.c.repository_id == tags.c.repository_id, manifests.c.digest == tags.c.digest))
        .outerjoin(accounts, accounts.c.id == tags.c.author)
        .where(tags.c.repository_id == repository_id)
        .order_by(tags.c.name)
    )


def _tag(row: Sequence[Any]) -> StoredTag:
    name, author, author_name, created_at, updated_at, *manifest = row
    return StoredTag(name, author_name or author or "", created_at, updated_at, StoredManifest(*manifest))


async def list_tags(connection: AsyncConnection, repository_id: str, *, start: str, limit: int) -> list[StoredTag]:
    """Tags from the name `start` on, in code point order."""
    return [
        _tag(row) for row in await connection.execute(_tags(repository_id).where(tags.c.name >= start).limit(limit))
    ]


async def count_tags(connection: AsyncConnection, repository_id: str) -> int:
    counted = select(func.count()).select_from(tags).where(tags.c.repository_id == repository_id)
    return int(await connection.scalar(counted) or 0)


async def find_tag(connection: AsyncConnection, repository_id: str, tag: str) -> StoredTag | None:
    row = (await connection.execute(_tags(repository_id).where(tags.c.name == tag))).one_or_none()
    return None if row is None else _tag(row)


async def tags_of(connection: AsyncConnection, repository_id: str, digest: Digest, *, limit: int) -> list[StoredTag]:
    """The tags that name the digest, in order."""
    found = await connection.execute(_tags(repository_id).where(tags.c.digest == digest.text).limit(limit))
    return [_tag(row) for row in found]


def _manifests(repository_id: str) -> Select[Any]:
    return select(*_MANIFEST).where(manifests.c.repository_id == repository_id).order_by(manifests.c.digest)


async def list_manifests(
    connection: AsyncConnection, repository_id: str, *, start: str, limit: int
) -> list[StoredManifest]:
    """Manifests from the digest `start` on, in its order."""
    wanted = _manifests(repository_id).where(manifests.c.digest >= start).limit(limit)
    return [StoredManifest(*row) for row in await connection.execute(wanted)]


async def count_manifests(connection: AsyncConnection, repository_id: str) -> int:
    counted = select(func.count()).select_from(manifests).where(manifests.c.repository_id == repository_id)
    return int(await connection.scalar(counted) or 0)


async def find_manifests(
    connection: AsyncConnection, repository_id: str, digests: Sequence[str]
) -> dict[str, StoredManifest]:
    """Those of the digests that the repository has."""
    wanted = _manifests(repository_id).where(manifests.c.digest.in_(digests))
    return {row[0]: StoredManifest(*row) for row in await connection.execute(wanted)}


async def find_body(connection: AsyncConnection, digest: str) -> bytes | None:
    """A manifest's bytes."""
    body: bytes | None = await connection.scalar(
        select(manifest_contents.c.body).where(manifest_contents.c.digest == digest)
    )
    return body
