"""Accounts and access tokens."""

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from lading.database import Moment, metadata
from lading.database.schema import ordered_string

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(36), primary_key=True),  # UUID
    Column("name", ordered_string(100), nullable=False, unique=True),
    Column("full_name", String(255), nullable=False, server_default=""),
    Column("is_organization", Boolean, nullable=False, default=False),
    Column("is_admin", Boolean, nullable=False, default=False),
    Column("is_active", Boolean, nullable=False, default=True),
    Column("password_hash", String(255), nullable=True),  # argon2id in PHC form; None: can't sign in with a password
    Column("credential_epoch", Integer, nullable=False, default=0),  # grows when all that was issued before must die
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", String(64), primary_key=True),  # DTR's hashedToken: SHA-256 of the secret, in hex
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("label", String(255), nullable=False),
    Column("is_active", Boolean, nullable=False, default=True),
    Column("generated_by", String(16), nullable=False),  # DTR: "auto" when docker login made it, else "user"
    Column("creator_ua", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment, nullable=True),
)
