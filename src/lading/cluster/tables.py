"""Site settings: one versioned row that every replica reads; replicas and their heartbeats."""

from sqlalchemy import Boolean, Column, Integer, String, Table

from lading.database import Moment, metadata

site_settings = Table(
    "site_settings",
    metadata,
    Column("id", Integer, primary_key=True),  # always 1
    Column("version", Integer, nullable=False),
    Column("document", String, nullable=False),  # JSON: only what was changed from the defaults
    Column("updated_at", Moment, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(12), primary_key=True),  # 12 hex characters
    Column("heartbeat_at", Moment, nullable=False),
    Column("health", String, nullable=False),  # "OK", or what is wrong
    Column("is_readonly", Boolean, nullable=False, default=False),
)
