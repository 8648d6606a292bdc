"""Jobs, their logs, schedules and workers. Forms follow DTR's jobs API. Source: DTR reference 1.3, 6.7."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from lading.database import Moment, metadata

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("action", String(64), nullable=False),
    Column("parameters", String, nullable=False, server_default="{}"),  # JSON object of strings
    Column("status", String(16), nullable=False),  # waiting, running, done, canceled, errored
    Column("priority", Integer, nullable=False, default=0),  # higher first
    Column("scheduled_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=True),
    Column("updated_at", Moment, nullable=False),
    Column("deadline_seconds", Integer, nullable=False, default=0),  # 0: none
    Column("stop_timeout_seconds", Integer, nullable=False, default=0),
    Column("retries_left", Integer, nullable=False, default=0),
    Column("retries_total", Integer, nullable=False, default=0),
    Column("retry_from", String(36), nullable=True),
    Column("worker_id", String(64), nullable=True),
    Column("lease", String(36), nullable=True),  # one claim's own id: a writer without it has lost the job
    Column("heartbeat_at", Moment, nullable=True),
    Column("cancel_requested", Boolean, nullable=False, default=False),
    Column("progress_done", BigInteger, nullable=False, default=0),
    Column("progress_total", BigInteger, nullable=False, default=0),
    Column("unique_key", String(128), nullable=True),  # at most one waiting job of a key
    Index("ix_jobs_status_scheduled_at", "status", "scheduled_at"),
    Index("ix_jobs_action_scheduled_at", "action", "scheduled_at"),
)

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
    Column("parameters", String, nullable=False, server_default="{}"),
    Column("deadline_seconds", Integer, nullable=False, default=0),
    Column("stop_timeout_seconds", Integer, nullable=False, default=0),
    Column("retries", Integer, nullable=False, default=0),
    Column("next_run_at", Moment, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("capacity", String, nullable=False, server_default="{}"),  # JSON object: action to number at once
    Column("heartbeat_at", Moment, nullable=False),
)
