"""First schema."""

import sqlalchemy as sa
from alembic import op

from lading.database.schema import Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=100).with_variant(sa.String(length=100, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("full_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("is_organization", sa.Boolean(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("credential_epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("generation", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("touched_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_index(op.f("ix_blobs_touched_at"), "blobs", ["touched_at"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("published_at", Moment(), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("actor_type", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("repository", sa.String(length=255), server_default="", nullable=False),
        sa.Column("object_type", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=255), nullable=False),
        sa.Column("object_name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("content", sa.String(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_published_at", "events", ["published_at"], unique=False)
    op.create_index("ix_events_repository_id", "events", ["repository", "id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("scheduled_at", Moment(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("started_at", Moment(), nullable=True),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=True),
        sa.Column("stop_timeout_ms", sa.BigInteger(), nullable=True),
        sa.Column("retries_left", sa.Integer(), nullable=False),
        sa.Column("retries_total", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.String(length=64), nullable=True),
        sa.Column("lease", sa.String(length=36), nullable=True),
        sa.Column("heartbeat_at", Moment(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress_done", sa.BigInteger(), nullable=False),
        sa.Column("progress_total", sa.BigInteger(), nullable=False),
        sa.Column("log_lines", sa.Integer(), nullable=False),
        sa.Column("unique_key", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_action_scheduled_at", "jobs", ["action", "scheduled_at", "id"], unique=False)
    op.create_index(
        "ix_jobs_running",
        "jobs",
        ["heartbeat_at"],
        unique=False,
        sqlite_where=sa.text("status = 'running'"),
        postgresql_where=sa.text("status = 'running'"),
    )
    op.create_index("ix_jobs_scheduled_at", "jobs", ["scheduled_at", "id"], unique=False)
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["rank", "scheduled_at", "id", "action"],
        unique=False,
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_index(
        "uq_jobs_unique_key",
        "jobs",
        ["unique_key"],
        unique=True,
        sqlite_where=sa.text("status = 'waiting'"),
        postgresql_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "manifest_contents",
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_manifest_contents")),
    )
    op.create_table(
        "replicas",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("heartbeat_at", Moment(), nullable=False),
        sa.Column("health", sa.String(), nullable=False),
        sa.Column("is_readonly", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replicas")),
    )
    op.create_table(
        "repositories",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column(
            "full_name",
            sa.String(length=255).with_variant(sa.String(length=255, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("namespace", sa.String(length=100), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("short_description", sa.String(), server_default="", nullable=False),
        sa.Column("long_description", sa.String(), server_default="", nullable=False),
        sa.Column("immutable_tags", sa.Boolean(), nullable=False),
        sa.Column("scan_on_push", sa.Boolean(), nullable=False),
        sa.Column("enable_manifest_lists", sa.Boolean(), nullable=False),
        sa.Column("tag_limit", sa.Integer(), nullable=False),
        sa.Column("pulls", sa.BigInteger(), nullable=False),
        sa.Column("pushes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repositories")),
        sa.UniqueConstraint("full_name", name=op.f("uq_repositories_full_name")),
    )
    op.create_index(op.f("ix_repositories_namespace"), "repositories", ["namespace"], unique=False)
    op.create_table(
        "schedules",
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("schedule", sa.String(length=128), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("deadline_ms", sa.BigInteger(), nullable=True),
        sa.Column("stop_timeout_ms", sa.BigInteger(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("next_run_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("action", name=op.f("pk_schedules")),
    )
    op.create_table(
        "secrets",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("master_key", sa.String(length=32), nullable=False),
        sa.Column("public", sa.String(), server_default="", nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "id", name=op.f("pk_secrets")),
    )
    op.create_table(
        "site_settings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.String(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_settings")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("capacity", sa.String(), nullable=False),
        sa.Column("heartbeat_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "access_tokens",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("generated_by", sa.String(length=16), nullable=False),
        sa.Column("creator_ua", sa.String(length=255), nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("last_used_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_access_tokens_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
    )
    op.create_index(op.f("ix_access_tokens_account_id"), "access_tokens", ["account_id"], unique=False)
    op.create_table(
        "blob_links",
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("linked_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["blobs.digest"], name=op.f("fk_blob_links_digest")),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("fk_blob_links_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "digest", name=op.f("pk_blob_links")),
    )
    op.create_index("ix_blob_links_digest", "blob_links", ["digest"], unique=False)
    op.create_table(
        "job_logs",
        sa.Column("job_id", sa.String(length=36), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("data", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_logs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_job_logs")),
    )
    op.create_table(
        "manifests",
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("media_type", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("artifact_type", sa.String(length=255), nullable=True),
        sa.Column("annotations", sa.String(), nullable=True),
        sa.Column("subject", sa.String(length=136), nullable=True),
        sa.Column("config_digest", sa.String(length=136), nullable=True),
        sa.Column("config_media_type", sa.String(length=255), nullable=True),
        sa.Column("content_size", sa.BigInteger(), nullable=False),
        sa.Column("os", sa.String(length=64), nullable=True),
        sa.Column("architecture", sa.String(length=64), nullable=True),
        sa.Column("pushed_by", sa.String(length=36), nullable=True),
        sa.Column("pushed_at", Moment(), nullable=False),
        sa.Column("touched_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["manifest_contents.digest"], name=op.f("fk_manifests_digest")),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("fk_manifests_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("repository_id", "digest", name=op.f("pk_manifests")),
    )
    op.create_index("ix_manifests_digest", "manifests", ["digest"], unique=False)
    op.create_index(
        "ix_manifests_repository_id_subject", "manifests", ["repository_id", "subject", "digest"], unique=False
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=True),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.String(), server_default="", nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("started_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"], ["repositories.id"], name=op.f("fk_uploads_repository_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    op.create_index(op.f("ix_uploads_updated_at"), "uploads", ["updated_at"], unique=False)
    op.create_table(
        "manifest_references",
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column("manifest", sa.String(length=136), nullable=False),
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id", "manifest"],
            ["manifests.repository_id", "manifests.digest"],
            name=op.f("fk_manifest_references_repository_id_manifest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "manifest", "digest", name=op.f("pk_manifest_references")),
    )
    op.create_index("ix_manifest_references_digest", "manifest_references", ["digest", "repository_id"], unique=False)
    op.create_table(
        "tags",
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column(
            "name",
            sa.String(length=128).with_variant(sa.String(length=128, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("digest", sa.String(length=136), nullable=False),
        sa.Column("author", sa.String(length=36), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id", "digest"],
            ["manifests.repository_id", "manifests.digest"],
            name=op.f("fk_tags_repository_id_digest"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", name=op.f("pk_tags")),
    )
    op.create_index("ix_tags_repository_id_digest", "tags", ["repository_id", "digest"], unique=False)
