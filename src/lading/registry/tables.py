"""Repositories, blobs and the links that give repositories the right to serve them, manifests, tags, uploads.

A blob is kept once under its digest; `blob_links` says which repositories may serve it. A manifest's bytes are kept once in
`manifest_contents`; `manifests` says which repositories have it. `manifest_references` is what garbage collection, referrers
and deletion look things up in.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
)

from lading.database import Moment, metadata
from lading.database.schema import ordered_string

_DIGEST = String(136)

repositories = Table(
    "repositories",
    metadata,
    Column("id", String(36), primary_key=True),  # UUID
    Column("full_name", ordered_string(255), nullable=False, unique=True),  # namespace/name
    Column("namespace", String(100), nullable=False, index=True),
    Column("visibility", String(16), nullable=False),  # public, private
    Column("short_description", String, nullable=False, server_default=""),
    Column("long_description", String, nullable=False, server_default=""),
    Column("immutable_tags", Boolean, nullable=False, default=False),
    Column("scan_on_push", Boolean, nullable=False, default=False),
    Column("enable_manifest_lists", Boolean, nullable=False, default=False),
    Column("tag_limit", Integer, nullable=False, default=0),  # 0: none
    Column("pulls", BigInteger, nullable=False, default=0),
    Column("pushes", BigInteger, nullable=False, default=0),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_repositories_visibility_full_name", "visibility", "full_name"),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("generation", String(16), nullable=False),  # part of where it is stored, see blobs.store.BlobKey
    Column("size", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("touched_at", Moment, nullable=False, index=True),  # when a client was last told that it is here
)

blob_links = Table(
    "blob_links",
    metadata,
    Column("repository_id", String(36), ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", _DIGEST, ForeignKey("blobs.digest"), primary_key=True),
    Column("linked_at", Moment, nullable=False),
    Index("ix_blob_links_digest", "digest"),
)

manifest_contents = Table(
    "manifest_contents",
    metadata,
    Column("digest", _DIGEST, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

manifests = Table(
    "manifests",
    metadata,
    Column("repository_id", String(36), ForeignKey("repositories.id", ondelete="CASCADE"), primary_key=True),
    Column("digest", _DIGEST, ForeignKey("manifest_contents.digest"), primary_key=True),
    Column("media_type", String(255), nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of the manifest itself
    Column("artifact_type", String(255), nullable=True),  # as referrers shows it: artifactType, or the config's type
    Column("annotations", String, nullable=True),  # JSON object, for referrers
    Column("subject", _DIGEST, nullable=True),
    Column("config_digest", _DIGEST, nullable=True),
    Column("config_media_type", String(255), nullable=True),
    Column("content_size", BigInteger, nullable=False, default=0),  # bytes of config and layers it names
    Column("os", String(64), nullable=True),
    Column("architecture", String(64), nullable=True),
    Column("pushed_by", String(36), nullable=True),  # account id
    Column("pushed_at", Moment, nullable=False),
    Column("touched_at", Moment, nullable=False),
    Index("ix_manifests_digest", "digest"),
    Index("ix_manifests_repository_id_subject", "repository_id", "subject", "digest"),
)

manifest_references = Table(
    "manifest_references",
    metadata,
    Column("repository_id", String(36), primary_key=True),
    Column("manifest", _DIGEST, primary_key=True),
    Column("digest", _DIGEST, primary_key=True),  # what it names
    Column("kind", String(16), nullable=False),  # config, layer, foreign, child
    ForeignKeyConstraint(
        ["repository_id", "manifest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index("ix_manifest_references_digest", "digest", "repository_id"),
)

tags = Table(
    "tags",
    metadata,
    Column("repository_id", String(36), primary_key=True),
    Column("name", ordered_string(128), primary_key=True),
    Column("digest", _DIGEST, nullable=False),
    Column("author", String(36), nullable=True),  # account id of who moved it last
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    ForeignKeyConstraint(
        ["repository_id", "digest"], ["manifests.repository_id", "manifests.digest"], ondelete="CASCADE"
    ),
    Index("ix_tags_repository_id_digest", "repository_id", "digest"),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("repository_id", String(36), ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("account_id", String(36), nullable=True),
    Column("offset", BigInteger, nullable=False, default=0),  # bytes acknowledged
    Column(
        "parts", String, nullable=False, server_default=""
    ),  # names of the staged parts, in order, with spaces between
    Column("sha256", String(64), nullable=True),  # of the bytes so far, when known
    Column("started_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False, index=True),
)
