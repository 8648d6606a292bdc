"""Engines, migrations, units of work and point reads over SQLite and PostgreSQL. Knows no table of any room but its own.

Rules: reads autocommit; a write is one unit of work, one transaction, kept only when it ends without an error; no network,
hashing or file work inside one.
"""

from lading.database.engine import Database
from lading.database.points import Point, Points
from lading.database.schema import Moment, metadata

__all__ = ["Database", "Moment", "Point", "Points", "metadata"]
