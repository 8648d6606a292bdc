"""Default parameters of actions, capacities of jobs; events in the order of their moments."""

import sqlalchemy as sa
from alembic import op

from lading.database.schema import Moment

revision = "0003"
down_revision = "0002"

_NEEDY_ROWS = sa.text("status = 'waiting' AND capacity <> '{}'")


def upgrade() -> None:
    op.create_table(
        "action_configs",
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("parameters", sa.String(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("action", name=op.f("pk_action_configs")),
    )
    op.add_column("jobs", sa.Column("capacity", sa.String(), server_default="{}", nullable=False))
    op.add_column("schedules", sa.Column("capacity", sa.String(), server_default="{}", nullable=False))
    op.create_index(
        "ix_jobs_needy", "jobs", ["capacity"], unique=False, sqlite_where=_NEEDY_ROWS, postgresql_where=_NEEDY_ROWS
    )
    # Its word is DTR's now; the schedule of that word is made at each start.
    op.execute("DELETE FROM schedules WHERE action = 'job_history'")
    for old in ("ix_events_repository_id", "ix_events_published_at", "ix_events_actor_id", "ix_events_object_type_id"):
        op.drop_index(old, "events")
    op.create_index("ix_events_published_at", "events", ["published_at", "id"], unique=False)
    for column in ("repository", "actor", "object_type", "type"):
        op.create_index(f"ix_events_{column}", "events", [column, "published_at", "id"], unique=False)
