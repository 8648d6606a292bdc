"""Accounts, organizations and their teams, grants, and all that an account proves itself with.

Robots are accounts without a person: `robot_of` names the namespace that owns one, and its name holds a `$`, which no other
account's can. A grant's `resource` is a pattern of whole repository names (access.grants): `*`, `acme/*`, `acme/app`.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, false

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
    # No foreign key: SQLite would add one only to a copy of the table.
    Column("robot_of", String(36), nullable=True, index=True),
    Column("directory", String(64), nullable=True),  # where the account comes from: ldap, oidc:NAME; None: from here
    Column("directory_id", String(512), nullable=True),  # what the directory knows it by: a DN, an issuer's subject
    Column("on_demand", Boolean, nullable=False, server_default=false()),  # made at a first sign-in, not by a sync
    Index("ux_accounts_directory_id", "directory", "directory_id", unique=True),
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
    Column("expires_at", Moment, nullable=True),  # None: never
    Column("narrowing", String, nullable=True),  # as grant_store.parse_grants reads it; None: all that the account may
)

memberships = Table(
    "memberships",
    metadata,
    Column("organization_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("is_admin", Boolean, nullable=False, default=False),  # an owner of the organization
    Column("is_imported", Boolean, nullable=False, default=False),  # put there by a directory's sync
    Column("created_at", Moment, nullable=False),
)

teams = Table(
    "teams",
    metadata,
    Column("id", String(36), primary_key=True),  # UUID
    Column("organization_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("name", ordered_string(100), nullable=False),
    Column("description", String(4096), nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("organization_id", "name"),
)

team_members = Table(
    "team_members",
    metadata,
    Column("team_id", String(36), ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True),
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("is_admin", Boolean, nullable=False, default=False),
    Column("is_imported", Boolean, nullable=False, default=False),
    Column("created_at", Moment, nullable=False),
)

roles = Table(  # those that an administrator defined; built-in ones are access.roles.Role
    "roles",
    metadata,
    Column("name", ordered_string(64), primary_key=True),
    Column("description", String(1024), nullable=False, server_default=""),
    Column("permissions", String, nullable=False),  # words of access.permissions.Permission, with spaces between
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

grants = Table(
    "grants",
    metadata,
    Column("resource", ordered_string(355), primary_key=True),
    Column("subject_kind", String(8), primary_key=True),  # user, team, owners, everyone
    Column("subject_id", String(36), primary_key=True),  # of an account, team or organization; empty for everyone
    Column("namespace", ordered_string(100), ForeignKey("accounts.name", ondelete="CASCADE"), nullable=True),
    Column("is_glob", Boolean, nullable=False, default=False),  # a pattern other than `*` and `NAMESPACE/*`
    Column("role", String(64), nullable=False),
    Column("granted_by", String(36), nullable=True),  # account id
    Column("created_at", Moment, nullable=False),
    Index("ix_grants_subject", "subject_kind", "subject_id", "resource"),
    Index("ix_grants_namespace_glob", "namespace", "is_glob"),
)

public_keys = Table(  # Source: DTR reference 1.6, publicKeys; client bundles are such keys
    "public_keys",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),  # SHA-256 of the DER public key, in hex
    Column("public_key", String, nullable=False),  # PEM
    Column("label", String(255), nullable=False, server_default=""),
    Column("certificates", String, nullable=False, server_default="[]"),  # JSON: [{"label", "cert"}]
    Column("created_at", Moment, nullable=False),
    Index("ux_public_keys_id", "id", unique=True),  # a key names one account
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of the cookie's secret, in hex
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("csrf", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),  # the account's credential epoch when it signed in
    Column("method", String(16), nullable=False),  # password, oidc
    Column("user_agent", String(255), nullable=False, server_default=""),
    Column("address", String(64), nullable=False, server_default=""),
    Column("created_at", Moment, nullable=False),
    Column("used_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False, index=True),
    Index("ix_sessions_account_id_used_at", "account_id", "used_at"),
)

user_settings = Table(  # Source: DTR reference 1.3, UserSettings
    "user_settings",
    metadata,
    Column("account_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("content_cache_id", String(64), nullable=False, server_default=""),
)

member_syncs = Table(  # who is in a team, among an organization's owners, or an administrator, by a directory's word
    "member_syncs",
    metadata,
    Column("target", String(64), primary_key=True),  # team:ID, owners:ORGANIZATION ID, admins
    Column("organization_id", String(36), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=True, index=True),
    Column("options", String, nullable=False),  # JSON, DTR's MemberSyncOpts; or a provider's group (groupLinkConfig)
    Column("updated_at", Moment, nullable=False),
)

sign_in_settings = (
    Table(  # set while the server runs: auth, ldap, sessions; secrets inside are sealed by the master key
        "sign_in_settings",
        metadata,
        Column("name", String(64), primary_key=True),
        Column("value", String, nullable=False),  # JSON
        Column("updated_at", Moment, nullable=False),
    )
)
