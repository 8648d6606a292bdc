"""The SQL of garbage collection. Every question is a page of an index; none walks a table in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.blobs.store import BlobKey
from lading.core.digests import Digest
from lading.registry.tables import (
    blob_links,
    blobs,
    manifest_contents,
    manifest_references,
    manifests,
    tags,
    uploads,
)

PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadBlob:
    """A blob whose row is gone, and what it held."""

    key: BlobKey
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """So many things, so many bytes."""

    count: int = 0
    size_bytes: int = 0


def _referenced() -> ColumnElement[bool]:
    """The link's blob is named by a manifest of the link's repository."""
    return exists().where(
        manifest_references.c.digest == blob_links.c.digest,
        manifest_references.c.repository_id == blob_links.c.repository_id,
    )


def _wanted() -> ColumnElement[bool]:
    """The blob has a link that a manifest needs."""
    return exists().where(blob_links.c.digest == blobs.c.digest, _referenced())


# --- blobs -----------------------------------------------------------------------------------------------------------


async def page_of_unwanted(
    connection: AsyncConnection, *, after: str, cutoff: datetime, limit: int = PAGE
) -> list[str]:
    """Digests, in order, of blobs that no manifest needs or that have links no manifest needs, untouched since `cutoff`."""
    loose = exists().where(blob_links.c.digest == blobs.c.digest, blob_links.c.linked_at < cutoff, not_(_referenced()))
    no_link = not_(exists().where(blob_links.c.digest == blobs.c.digest))
    return list(
        await connection.scalars(
            select(blobs.c.digest)
            .where(blobs.c.digest > after, blobs.c.touched_at < cutoff, or_(no_link, loose))
            .order_by(blobs.c.digest)
            .limit(limit)
        )
    )


async def delete_unwanted(unit: AsyncConnection, digests: Sequence[str], *, cutoff: datetime) -> list[DeadBlob]:
    """Drops the links nobody needs and the blobs without links; gives those blobs, whose bytes may go after the commit.

    The rows are locked first, then looked at anew: who touches one of them waits for us, and then finds it gone.
    """
    locked = list(
        await unit.scalars(
            select(blobs.c.digest)
            .where(blobs.c.digest.in_(digests), blobs.c.touched_at < cutoff)
            .with_for_update(skip_locked=True)
        )
    )
    await unit.execute(
        delete(blob_links).where(blob_links.c.digest.in_(locked), blob_links.c.linked_at < cutoff, not_(_referenced()))
    )
    dead = (
        await unit.execute(
            select(blobs.c.digest, blobs.c.generation, blobs.c.size).where(
                blobs.c.digest.in_(locked), not_(exists().where(blob_links.c.digest == blobs.c.digest))
            )
        )
    ).all()
    await unit.execute(delete(blobs).where(blobs.c.digest.in_([row.digest for row in dead])))
    return [DeadBlob(BlobKey(Digest(row.digest), row.generation), row.size) for row in dead]


async def known_generations(connection: AsyncConnection, digests: Sequence[str]) -> dict[str, str]:
    """The generation of each blob that has a row."""
    found = await connection.execute(select(blobs.c.digest, blobs.c.generation).where(blobs.c.digest.in_(digests)))
    return {row.digest: row.generation for row in found}


# --- manifests -------------------------------------------------------------------------------------------------------


def _untagged(cutoff: datetime) -> ColumnElement[bool]:
    """No tag, no index names it, it is no referrer of a manifest that is here, and nobody touched it since `cutoff`."""
    other = manifests.alias("subject")
    return and_(
        manifests.c.touched_at < cutoff,
        not_(exists().where(tags.c.repository_id == manifests.c.repository_id, tags.c.digest == manifests.c.digest)),
        not_(
            exists().where(
                manifest_references.c.repository_id == manifests.c.repository_id,
                manifest_references.c.digest == manifests.c.digest,
                manifest_references.c.kind == "child",
            )
        ),
        not_(exists().where(other.c.repository_id == manifests.c.repository_id, other.c.digest == manifests.c.subject)),
    )


async def delete_untagged(unit: AsyncConnection, *, cutoff: datetime, limit: int = PAGE) -> list[tuple[str, str]]:
    """Drops up to `limit` manifests that nothing names: (repository id, digest). Dropping some may free others."""
    found = (
        await unit.execute(
            select(manifests.c.repository_id, manifests.c.digest)
            .where(_untagged(cutoff))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    for row in found:
        await unit.execute(
            delete(manifests).where(manifests.c.repository_id == row.repository_id, manifests.c.digest == row.digest)
        )
    return [(row.repository_id, row.digest) for row in found]


async def count_untagged(connection: AsyncConnection, *, cutoff: datetime) -> Tally:
    """Manifests that nothing names, and the bytes of what they name."""
    row = (
        await connection.execute(
            select(func.count(), func.coalesce(func.sum(manifests.c.content_size), 0)).where(_untagged(cutoff))
        )
    ).one()
    return Tally(row[0], int(row[1]))


async def delete_contents(unit: AsyncConnection, *, limit: int = PAGE) -> int:
    """Drops up to `limit` bodies of manifests that no repository has; how many.

    Locked first, then looked at anew, as in `delete_unwanted`.
    """
    unused = not_(exists().where(manifests.c.digest == manifest_contents.c.digest))
    locked = list(
        await unit.scalars(
            select(manifest_contents.c.digest).where(unused).limit(limit).with_for_update(skip_locked=True)
        )
    )
    gone = await unit.execute(delete(manifest_contents).where(manifest_contents.c.digest.in_(locked), unused))
    return int(gone.rowcount)


# --- uploads ---------------------------------------------------------------------------------------------------------


async def delete_expired_uploads(
    unit: AsyncConnection, *, cutoff: datetime, limit: int = PAGE
) -> tuple[int, list[str]]:
    """Drops uploads nobody worked on since `cutoff`; how many, and the names of their staged parts."""
    rows = (
        await unit.execute(select(uploads.c.id, uploads.c.parts).where(uploads.c.updated_at < cutoff).limit(limit))
    ).all()
    await unit.execute(delete(uploads).where(uploads.c.id.in_([row.id for row in rows]), uploads.c.updated_at < cutoff))
    return len(rows), [name for row in rows for name in row.parts.split()]


async def staged_parts(connection: AsyncConnection) -> frozenset[str]:
    """The names of all parts that an unfinished upload needs."""
    found = await connection.scalars(select(uploads.c.parts).where(uploads.c.parts != ""))
    return frozenset(name for parts in found for name in parts.split())


# --- what holds space ------------------------------------------------------------------------------------------------


async def count_blobs(connection: AsyncConnection) -> Tally:
    """All blobs."""
    row = (
        await connection.execute(select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).select_from(blobs))
    ).one()
    return Tally(row[0], int(row[1]))


async def count_unwanted(connection: AsyncConnection, *, before: datetime | None = None) -> Tally:
    """Blobs that no manifest needs; only those untouched since `before`, when given."""
    where = not_(_wanted())
    if before is not None:
        where = and_(where, blobs.c.touched_at < before)
    row = (await connection.execute(select(func.count(), func.coalesce(func.sum(blobs.c.size), 0)).where(where))).one()
    return Tally(row[0], int(row[1]))


async def count_uploads(connection: AsyncConnection) -> Tally:
    """Unfinished uploads and the bytes they have."""
    row = (
        await connection.execute(
            select(func.count(), func.coalesce(func.sum(uploads.c.offset), 0)).select_from(uploads)
        )
    ).one()
    return Tally(row[0], int(row[1]))


async def oldest_protected(connection: AsyncConnection, *, since: datetime) -> datetime | None:
    """When the first of the unwanted blobs that are still in their grace time was touched."""
    found: datetime | None = await connection.scalar(
        select(func.min(blobs.c.touched_at, type_=blobs.c.touched_at.type)).where(
            not_(_wanted()), blobs.c.touched_at >= since
        )
    )
    return found
