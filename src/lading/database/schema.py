"""What every room's `tables.py` is built with: the one MetaData and the column types both databases agree on."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, TypeDecorator
from sqlalchemy.engine import Dialect

from lading.core.clock import from_microseconds, to_microseconds

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """An aware moment, kept as microseconds since 1970 so that it orders and compares alike in both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 — SQLAlchemy's signature
        return None if value is None else to_microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 — SQLAlchemy's signature
        return None if value is None else from_microseconds(value)


BigId = BigInteger().with_variant(Integer(), "sqlite")
"""An automatic number: BIGINT, which SQLite only counts up when it is called INTEGER."""

locks = Table(
    "locks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_at", Moment, nullable=False),
)
"""Leases by name: rows, not advisory locks, so that they hold on every PostgreSQL-compatible engine."""


def ordered_string(length: int) -> String:
    """A string column that orders by code point in both databases (PostgreSQL's own order follows a locale)."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")
