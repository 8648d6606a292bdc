"""The registry's SQL beyond the hot path: rows to values and back. Decides nothing."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from lading.access import Grant, Principal, Visibility
from lading.access.grants import EVERYTHING
from lading.accounts.grant_store import held_by
from lading.accounts.tables import grants
from lading.core.digests import Digest
from lading.core.names import RepositoryName
from lading.database import Database, Point, Points
from lading.database.upserts import INSERTS
from lading.registry.errors import NameUnknownError
from lading.registry.manifests import ManifestContent
from lading.registry.tables import (
    blob_links,
    blobs,
    manifest_contents,
    manifest_references,
    manifests,
    repositories,
    tags,
    uploads,
)

MANIFEST_BODY = Point(select(manifest_contents.c.body).where(manifest_contents.c.digest == bindparam("digest")))
BLOB_ROW = Point(select(blobs.c.generation, blobs.c.size).where(blobs.c.digest == bindparam("digest")))
_BATCH = 500  # values in one IN list; SQLite takes 32,766 variables, PostgreSQL plans long lists slowly


def _insert_once(table: Table) -> Mapping[str, Any]:
    """INSERT of a row that may be there already, by dialect."""
    return {dialect: insert_(table).on_conflict_do_nothing() for dialect, insert_ in INSERTS.items()}


def _upsert(table: Table, key: Sequence[str], changed: Sequence[str]) -> Mapping[str, Any]:
    """INSERT of a row, or UPDATE of its columns `changed` when it is there already, by dialect."""
    made = {}
    for dialect, insert_ in INSERTS.items():
        adding = insert_(table)
        set_ = {name: adding.excluded[name] for name in changed}
        made[dialect] = adding.on_conflict_do_update(index_elements=key, set_=set_)
    return made


# Statements of every push are made here, once: making one costs SQLAlchemy more than running it.
_ADD_BLOB = _insert_once(blobs)
_TOUCH_BLOB = update(blobs).where(blobs.c.digest == bindparam("named")).values(touched_at=bindparam("now"))
_LINK_BLOB = _insert_once(blob_links)
_ADD_UPLOAD = insert(uploads)
_ADVANCE_UPLOAD = (
    update(uploads)
    .where(uploads.c.id == bindparam("upload"), uploads.c.offset == bindparam("expected"))
    .values(offset=bindparam("to"), parts=bindparam("names"), sha256=bindparam("hash"), updated_at=bindparam("now"))
)
# An update, though it changes nothing: it holds a body that is there already against a collection, and makes another push of
# the same manifest wait for ours.
_PUT_CONTENT = _upsert(manifest_contents, ["digest"], ["digest"])
_ADD_MANIFEST = insert(manifests)
_ADD_REFERENCES = insert(manifest_references)
_THE_MANIFEST = and_(manifests.c.repository_id == bindparam("repository"), manifests.c.digest == bindparam("named"))
_FIND_TYPE = select(manifests.c.media_type).where(_THE_MANIFEST)
_TOUCH_MANIFEST = update(manifests).where(_THE_MANIFEST).values(touched_at=bindparam("now"))
_PUT_TAG = _upsert(tags, ["repository_id", "name"], ["digest", "author", "updated_at"])
_COUNT_PUSH = (
    update(repositories)
    .where(repositories.c.id == bindparam("repository"))
    .values(pushes=repositories.c.pushes + 1, updated_at=bindparam("now"))
)
_DELETE_UPLOAD = delete(uploads).where(uploads.c.id == bindparam("upload"))


@asynccontextmanager
async def unit_in(database: Database, name: RepositoryName, *, durable: bool = True) -> AsyncIterator[AsyncConnection]:
    """A unit of work that puts something into a repository looked up before.

    Errors: NameUnknownError when it was deleted since: no other foreign key of ours can fail there.
    """
    try:
        async with database.write(durable=durable) as unit:
            yield unit
    except IntegrityError as error:
        raise NameUnknownError(name) from error


def visible_to(principal: Principal, *, anonymous_access: bool) -> ColumnElement[bool]:
    """The WHERE clause of "may view", for lists: the same as `access.decide` says one by one; a property test holds both."""
    if not principal.is_active:
        return ~true()
    public = repositories.c.visibility == Visibility.PUBLIC.value
    if principal.is_admin:
        return true() if principal.narrowing is None else or_(public, _is_within(principal.narrowing))
    if principal.is_anonymous:
        return public if anonymous_access else ~true()
    mine = or_(public, repositories.c.namespace == principal.name, is_granted(principal))
    return mine if principal.narrowing is None else or_(public, and_(mine, _is_within(principal.narrowing)))


def is_granted(principal: Principal) -> ColumnElement[bool]:
    """Some grant that the caller holds speaks of the repository, whatever its role: it may be viewed."""
    account = literal(principal.account_id)
    glob = func.replace(grants.c.resource, "*", "%")
    speaks = or_(
        grants.c.resource.in_([literal(EVERYTHING), repositories.c.namespace + "/*", repositories.c.full_name]),
        and_(
            grants.c.namespace == repositories.c.namespace,
            grants.c.is_glob,
            # `_` is an ordinary character of names, and so it must not stand for any.
            repositories.c.full_name.like(func.replace(glob, "_", r"\_"), escape="\\"),
        ),
    )
    return exists().where(speaks, held_by(account))


def is_like(name: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """The pattern, as grants have them, stands for the name."""
    return name.like(pattern.replace("_", r"\_").replace("*", "%"), escape="\\")


def _is_within(narrowing: Sequence[Grant]) -> ColumnElement[bool]:
    return or_(false(), *(is_like(repositories.c.full_name, grant.resource) for grant in narrowing))


# --- blobs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob as the database knows it."""

    generation: str
    size_bytes: int


async def find_blob(points: Points, digest: Digest) -> BlobRow | None:
    row = await points.first(BLOB_ROW, digest=digest.text)
    return None if row is None else BlobRow(row[0], row[1])


async def add_blob(unit: AsyncConnection, digest: Digest, row: BlobRow, now: datetime) -> bool:
    """True when the row is new; False when another request was first, whose copy counts."""
    values = {
        "digest": digest.text,
        "generation": row.generation,
        "size": row.size_bytes,
        "created_at": now,
        "touched_at": now,
    }
    added = await unit.execute(_ADD_BLOB[unit.dialect.name], values)
    return bool(added.rowcount)


async def touch_blob(unit: AsyncConnection, digest: Digest, now: datetime) -> bool:
    """The blob is safe from collection for another grace time; False when it is gone already."""
    touched = await unit.execute(_TOUCH_BLOB, {"named": digest.text, "now": now})
    return bool(touched.rowcount)


async def link_blob(unit: AsyncConnection, repository_id: str, digest: Digest, now: datetime) -> None:
    """The repository may serve the blob, whose row must be there."""
    values = {"repository_id": repository_id, "digest": digest.text, "linked_at": now}
    await unit.execute(_LINK_BLOB[unit.dialect.name], values)


async def unlink_blob(unit: AsyncConnection, repository_id: str, digest: Digest) -> bool:
    gone = await unit.execute(
        delete(blob_links).where(blob_links.c.repository_id == repository_id, blob_links.c.digest == digest.text)
    )
    return bool(gone.rowcount)


async def is_linked(connection: AsyncConnection, repository_id: str, digest: Digest) -> bool:
    found = await connection.scalar(
        select(blob_links.c.digest).where(
            blob_links.c.repository_id == repository_id, blob_links.c.digest == digest.text
        )
    )
    return found is not None


async def is_blob_visible(
    connection: AsyncConnection, principal: Principal, digest: Digest, *, anonymous_access: bool
) -> bool:
    """True when some repository that `principal` may view has the blob."""
    found = await connection.scalar(
        select(
            exists().where(
                blob_links.c.digest == digest.text,
                repositories.c.id == blob_links.c.repository_id,
                visible_to(principal, anonymous_access=anonymous_access),
            )
        )
    )
    return bool(found)


# --- uploads ---------------------------------------------------------------------------------------------------------


async def add_upload(
    unit: AsyncConnection, upload_id: str, repository_id: str, account_id: str | None, now: datetime
) -> None:
    values = {"id": upload_id, "repository_id": repository_id, "account_id": account_id, "offset": 0, "parts": ""}
    await unit.execute(_ADD_UPLOAD, {**values, "started_at": now, "updated_at": now})


async def advance_upload(
    unit: AsyncConnection,
    upload_id: str,
    *,
    expected: int,
    offset: int,
    parts: Sequence[str],
    sha256: str | None,
    now: datetime,
) -> bool:
    """The upload stands at `offset`; False when it did not stand at `expected` any more (compare and set)."""
    values = {"upload": upload_id, "expected": expected, "to": offset, "names": " ".join(parts), "hash": sha256}
    moved = await unit.execute(_ADVANCE_UPLOAD, {**values, "now": now})
    return bool(moved.rowcount)


async def delete_upload(unit: AsyncConnection, upload_id: str) -> bool:
    gone = await unit.execute(_DELETE_UPLOAD, {"upload": upload_id})
    return bool(gone.rowcount)


# --- repositories ----------------------------------------------------------------------------------------------------


async def find_repository_id(connection: AsyncConnection, name: RepositoryName) -> str | None:
    found: str | None = await connection.scalar(select(repositories.c.id).where(repositories.c.full_name == name.text))
    return found


async def count_pulls(unit: AsyncConnection, pulls: Iterable[tuple[str, int]]) -> None:
    """Adds to the pull counters, by repository id."""
    rows = [{"id_": repository_id, "more": more} for repository_id, more in pulls]
    if rows:
        await unit.execute(
            update(repositories)
            .where(repositories.c.id == bindparam("id_"))
            .values(pulls=repositories.c.pulls + bindparam("more")),
            rows,
        )


# --- manifests and tags ----------------------------------------------------------------------------------------------


async def hold_content(unit: AsyncConnection, content: ManifestContent) -> None:
    """No collection takes what the manifest names until this unit of work ends: it skips rows that are held.

    One that was faster is waited for, and what it took is missing then. SQLite has one writer at a time anyway.
    """
    if unit.dialect.name != "postgresql":
        return
    named = [item.digest.text for item in (*((content.config,) if content.config else ()), *content.layers)]
    for start in range(0, len(named), _BATCH):
        held = select(blobs.c.digest).where(blobs.c.digest.in_(named[start : start + _BATCH]))
        await unit.execute(held.with_for_update(read=True, key_share=True))


async def missing_content(
    connection: AsyncConnection, repository_id: str, content: ManifestContent, *, children: bool
) -> list[Digest]:
    """What the manifest names and the repository does not have, in its order; children only when asked."""
    wanted = [item.digest for item in (*((content.config,) if content.config else ()), *content.layers)]
    have = await _which(connection, blob_links.c.digest, blob_links.c.repository_id == repository_id, wanted)
    missing = [digest for digest in wanted if digest.text not in have]
    if children:
        named = [item.digest for item in content.children]
        have = await _which(connection, manifests.c.digest, manifests.c.repository_id == repository_id, named)
        missing += [digest for digest in named if digest.text not in have]
    return missing


async def _which(
    connection: AsyncConnection, column: ColumnElement[str], where: ColumnElement[bool], wanted: Sequence[Digest]
) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        batch = [digest.text for digest in wanted[start : start + _BATCH]]
        found.update(await connection.scalars(select(column).where(where, column.in_(batch))))
    return found


async def find_media_type(connection: AsyncConnection, repository_id: str, digest: Digest) -> str | None:
    """The type that the manifest has in the repository; None when it is not there."""
    found: str | None = await connection.scalar(_FIND_TYPE, {"repository": repository_id, "named": digest.text})
    return found


async def put_manifest(
    unit: AsyncConnection,
    repository_id: str,
    digest: Digest,
    body: bytes,
    content: ManifestContent,
    *,
    pushed_by: str | None,
    now: datetime,
) -> bool:
    """The repository has the manifest; True when it is new there. Putting it again touches it."""
    await unit.execute(_PUT_CONTENT[unit.dialect.name], {"digest": digest.text, "body": body})
    touched = await unit.execute(_TOUCH_MANIFEST, {"repository": repository_id, "named": digest.text, "now": now})
    if touched.rowcount:
        return False
    row = {
        "repository_id": repository_id,
        "digest": digest.text,
        "media_type": content.media_type,
        "size": len(body),
        "artifact_type": content.artifact_type,
        "annotations": content.annotations,
        "subject": content.subject.text if content.subject else None,
        "config_digest": content.config.digest.text if content.config else None,
        "config_media_type": content.config.media_type if content.config else None,
        "content_size": content.content_size,
        "pushed_by": pushed_by,
        "pushed_at": now,
        "touched_at": now,
    }
    await unit.execute(_ADD_MANIFEST, row)
    references = _references(repository_id, digest, content)
    if references:
        await unit.execute(_ADD_REFERENCES, references)
    return True


def _references(repository_id: str, digest: Digest, content: ManifestContent) -> list[dict[str, str]]:
    kinds: dict[str, str] = {}
    groups = (
        ("foreign", content.foreign),
        ("child", content.children),
        ("layer", content.layers),
        ("config", (content.config,) if content.config else ()),
    )
    for kind, items in groups:
        kinds.update((item.digest.text, kind) for item in items)
    return [
        {"repository_id": repository_id, "manifest": digest.text, "digest": named, "kind": kind}
        for named, kind in kinds.items()
    ]


async def find_tag(connection: AsyncConnection, repository_id: str, tag: str) -> str | None:
    """The digest that the tag names."""
    found: str | None = await connection.scalar(
        select(tags.c.digest).where(tags.c.repository_id == repository_id, tags.c.name == tag)
    )
    return found


async def put_tag(
    unit: AsyncConnection, repository_id: str, tag: str, digest: Digest, *, author: str | None, now: datetime
) -> None:
    """The tag names the digest."""
    row = {"repository_id": repository_id, "name": tag, "digest": digest.text, "author": author}
    await unit.execute(_PUT_TAG[unit.dialect.name], {**row, "created_at": now, "updated_at": now})


async def count_push(unit: AsyncConnection, repository_id: str, now: datetime) -> None:
    """The repository was pushed to."""
    await unit.execute(_COUNT_PUSH, {"repository": repository_id, "now": now})


async def delete_tag(unit: AsyncConnection, repository_id: str, tag: str) -> bool:
    gone = await unit.execute(delete(tags).where(tags.c.repository_id == repository_id, tags.c.name == tag))
    return bool(gone.rowcount)


async def tags_of(connection: AsyncConnection, repository_id: str, digest: Digest) -> list[str]:
    """The tags that name the digest, in order."""
    return list(
        await connection.scalars(
            select(tags.c.name)
            .where(tags.c.repository_id == repository_id, tags.c.digest == digest.text)
            .order_by(tags.c.name)
        )
    )


async def delete_manifest(unit: AsyncConnection, repository_id: str, digest: Digest) -> bool:
    """The manifest, its tags and its references are gone from the repository; False when it was not there."""
    await unit.execute(delete(tags).where(tags.c.repository_id == repository_id, tags.c.digest == digest.text))
    gone = await unit.execute(
        delete(manifests).where(manifests.c.repository_id == repository_id, manifests.c.digest == digest.text)
    )
    return bool(gone.rowcount)


async def list_tags(connection: AsyncConnection, repository_id: str, *, after: str, limit: int) -> list[str]:
    """Tags after the one named, in code point order, at most `limit`."""
    return list(
        await connection.scalars(
            select(tags.c.name)
            .where(tags.c.repository_id == repository_id, tags.c.name > after)
            .order_by(tags.c.name)
            .limit(limit)
        )
    )


async def list_repositories(
    connection: AsyncConnection, visible: ColumnElement[bool], *, after: str, limit: int
) -> list[str]:
    """Whole names of visible repositories after the one named, in code point order, at most `limit`."""
    return list(
        await connection.scalars(
            select(repositories.c.full_name)
            .where(visible, repositories.c.full_name > after)
            .order_by(repositories.c.full_name)
            .limit(limit)
        )
    )


async def list_referrers(
    connection: AsyncConnection,
    repository_id: str,
    subject: Digest,
    *,
    artifact_type: str | None,
    after: str,
    limit: int,
) -> Sequence[Any]:
    """Manifests whose subject is the digest, in digest order: digest, media_type, size, artifact_type, annotations."""
    wanted = and_(
        manifests.c.repository_id == repository_id, manifests.c.subject == subject.text, manifests.c.digest > after
    )
    if artifact_type is not None:
        wanted = and_(wanted, manifests.c.artifact_type == artifact_type)
    columns = (
        manifests.c.digest,
        manifests.c.media_type,
        manifests.c.size,
        manifests.c.artifact_type,
        manifests.c.annotations,
    )
    found = await connection.execute(select(*columns).where(wanted).order_by(manifests.c.digest).limit(limit))
    return found.all()
