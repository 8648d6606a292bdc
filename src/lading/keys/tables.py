"""Sealed secrets: the certificate authority, the server's own certificate, token-signing keys."""

from sqlalchemy import Boolean, Column, LargeBinary, String, Table

from lading.database import Moment, metadata

secrets = Table(
    "secrets",
    metadata,
    Column("kind", String(32), primary_key=True),  # authority, server-certificate, token-signing, …
    Column("id", String(64), primary_key=True),  # within its kind: a kid, a serial number
    Column("sealed", LargeBinary, nullable=False),  # AES-256-GCM under the master key; kind and id are authenticated
    Column("master_key", String(32), nullable=False),  # which master key sealed it, so that it can be rotated
    Column("public", String, nullable=False, server_default=""),  # certificate or public key, PEM
    Column("is_active", Boolean, nullable=False, default=True),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=True),
)
