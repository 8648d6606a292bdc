"""Jobs, their logs, schedules and workers. Forms follow DTR's jobs API. Source: DTR reference 1.3, 6.7."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, literal_column, text

from lading.database import Moment, metadata

WAITING_ROWS = text("status = 'waiting'")  # what the partial indexes hold
RUNNING_ROWS = text("status = 'running'")
NEEDY_ROWS = text("status = 'waiting' AND capacity <> '{}'")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("action", String(64), nullable=False),
    Column("parameters", String, nullable=False),  # JSON object of strings
    Column("status", String(16), nullable=False),  # waiting, running, done, canceled, errored
    Column("rank", Integer, nullable=False),  # minus the priority, so that one index holds the order of claims
    Column("scheduled_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=True),
    Column("updated_at", Moment, nullable=False),
    Column("deadline_ms", BigInteger, nullable=True),
    Column("stop_timeout_ms", BigInteger, nullable=True),
    Column("retries_left", Integer, nullable=False, default=0),
    Column("retries_total", Integer, nullable=False, default=0),
    Column("losses", Integer, nullable=False, default=0),
    Column("worker_id", String(64), nullable=True),
    Column("lease", String(36), nullable=True),  # one claim's own id: a writer without it has lost the job
    Column("heartbeat_at", Moment, nullable=True),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress_done", BigInteger, nullable=False, default=0),
    Column("progress_total", BigInteger, nullable=False, default=0),
    Column("log_lines", Integer, nullable=False, default=0),
    Column("unique_key", String(128), nullable=True),
    Column(
        "capacity", String, nullable=False, server_default="{}"
    ),  # JSON object: what it takes of a worker's capacity
    Index(
        "ix_jobs_waiting",
        "rank",
        "scheduled_at",
        "id",
        "action",
        sqlite_where=WAITING_ROWS,
        postgresql_where=WAITING_ROWS,
    ),
    # which capacities waiting jobs ask for, besides the one place of their action
    Index("ix_jobs_needy", "capacity", sqlite_where=NEEDY_ROWS, postgresql_where=NEEDY_ROWS),
    Index("ix_jobs_running", "heartbeat_at", sqlite_where=RUNNING_ROWS, postgresql_where=RUNNING_ROWS),
    # at most one waiting job of a key
    Index("uq_jobs_unique_key", "unique_key", unique=True, sqlite_where=WAITING_ROWS, postgresql_where=WAITING_ROWS),
    Index("ix_jobs_scheduled_at", "scheduled_at", "id"),
    Index("ix_jobs_action_scheduled_at", "action", "scheduled_at", "id"),
)

# Written with the word itself, not as a parameter: only so are the partial indexes used.
IS_WAITING = jobs.c.status == literal_column("'waiting'")
IS_RUNNING = jobs.c.status == literal_column("'running'")
IS_NEEDY = IS_WAITING & (jobs.c.capacity != literal_column("'{}'"))

job_logs = Table(
    "job_logs",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("data", String, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("action", String(64), primary_key=True),
    Column("id", String(36), nullable=False),
    Column("schedule", String(128), nullable=False),  # cron with seconds, or @daily and its kin
    Column("parameters", String, nullable=False),
    Column("deadline_ms", BigInteger, nullable=True),
    Column("stop_timeout_ms", BigInteger, nullable=True),
    Column("retries", Integer, nullable=False, default=0),
    Column("next_run_at", Moment, nullable=False),
    Column("capacity", String, nullable=False, server_default="{}"),
)

action_configs = Table(
    "action_configs",
    metadata,
    Column("action", String(64), primary_key=True),
    Column("id", String(36), nullable=False),
    Column(
        "parameters", String, nullable=False
    ),  # JSON object of strings: what jobs of the action get that say nothing
    Column("updated_at", Moment, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),  # running, stopped
    Column("capacity", String, nullable=False),  # JSON object: action to how many at once
    Column("heartbeat_at", Moment, nullable=False),
)
