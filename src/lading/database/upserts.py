"""INSERT … ON CONFLICT: SQLAlchemy has it once per database, in the same words."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

INSERTS: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""`insert`, by the name of the dialect; for statements that are made once."""


def upsert(unit: AsyncConnection) -> Any:
    """`insert` of this database's dialect, which knows ON CONFLICT."""
    return INSERTS[unit.dialect.name]
