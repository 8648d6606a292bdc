"""Organizations, teams, grants, sessions, public keys; where events came from."""

import sqlalchemy as sa
from alembic import op

from lading.database.schema import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "roles",
        sa.Column(
            "name", sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("description", sa.String(length=1024), server_default="", nullable=False),
        sa.Column("permissions", sa.String(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_roles")),
    )
    op.create_table(
        "sign_in_settings",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sign_in_settings")),
    )
    op.create_table(
        "grants",
        sa.Column(
            "resource",
            sa.String(length=355).with_variant(sa.String(length=355, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("subject_kind", sa.String(length=8), nullable=False),
        sa.Column("subject_id", sa.String(length=36), nullable=False),
        sa.Column(
            "namespace",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("is_glob", sa.Boolean(), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("granted_by", sa.String(length=36), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["namespace"], ["accounts.name"], name=op.f("fk_grants_namespace"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("resource", "subject_kind", "subject_id", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_namespace_glob", "grants", ["namespace", "is_glob"], unique=False)
    op.create_index("ix_grants_subject", "grants", ["subject_kind", "subject_id", "resource"], unique=False)
    op.create_table(
        "member_syncs",
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("organization_id", sa.String(length=36), nullable=True),
        sa.Column("options", sa.String(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["accounts.id"], name=op.f("fk_member_syncs_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("target", name=op.f("pk_member_syncs")),
    )
    op.create_index(op.f("ix_member_syncs_organization_id"), "member_syncs", ["organization_id"], unique=False)
    op.create_table(
        "memberships",
        sa.Column("organization_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_imported", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_memberships_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["accounts.id"], name=op.f("fk_memberships_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("organization_id", "account_id", name=op.f("pk_memberships")),
    )
    op.create_index(op.f("ix_memberships_account_id"), "memberships", ["account_id"], unique=False)
    op.create_table(
        "public_keys",
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("label", sa.String(length=255), server_default="", nullable=False),
        sa.Column("certificates", sa.String(), server_default="[]", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_public_keys_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "id", name=op.f("pk_public_keys")),
    )
    op.create_index("ux_public_keys_id", "public_keys", ["id"], unique=True)
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("user_agent", sa.String(length=255), server_default="", nullable=False),
        sa.Column("address", sa.String(length=64), server_default="", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("used_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_account_id_used_at", "sessions", ["account_id", "used_at"], unique=False)
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_table(
        "teams",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("organization_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("description", sa.String(length=4096), server_default="", nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["accounts.id"], name=op.f("fk_teams_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_teams")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_teams_organization_id_name")),
    )
    op.create_table(
        "user_settings",
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("content_cache_id", sa.String(length=64), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_user_settings_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_user_settings")),
    )
    op.create_table(
        "team_members",
        sa.Column("team_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_imported", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_team_members_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"], name=op.f("fk_team_members_team_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("team_id", "account_id", name=op.f("pk_team_members")),
    )
    op.create_index(op.f("ix_team_members_account_id"), "team_members", ["account_id"], unique=False)
    op.add_column("access_tokens", sa.Column("expires_at", Moment(), nullable=True))
    op.add_column("access_tokens", sa.Column("narrowing", sa.String(), nullable=True))
    op.add_column("accounts", sa.Column("robot_of", sa.String(length=36), nullable=True))
    op.add_column("accounts", sa.Column("directory", sa.String(length=64), nullable=True))
    op.add_column("accounts", sa.Column("directory_id", sa.String(length=512), nullable=True))
    op.add_column("accounts", sa.Column("on_demand", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(op.f("ix_accounts_robot_of"), "accounts", ["robot_of"], unique=False)
    op.create_index("ux_accounts_directory_id", "accounts", ["directory", "directory_id"], unique=True)
    op.add_column("events", sa.Column("address", sa.String(length=64), server_default="", nullable=False))
    op.add_column("events", sa.Column("user_agent", sa.String(length=255), server_default="", nullable=False))
    op.add_column("events", sa.Column("outcome", sa.String(length=16), server_default="done", nullable=False))
    op.create_index("ix_events_actor_id", "events", ["actor", "id"], unique=False)
    op.create_index("ix_events_object_type_id", "events", ["object_type", "id"], unique=False)
    op.create_index("ix_repositories_visibility_full_name", "repositories", ["visibility", "full_name"], unique=False)
