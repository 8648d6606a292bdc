"""The migrations make exactly the rooms' tables, on each kind of database."""

from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from lading.app.tables import ROOM_TABLES
from lading.database import Database, metadata, migrations


def difference(connection: Connection) -> list[Any]:
    # SQLite gives defaults back in other words than they were given in.
    defaults = connection.dialect.name == "postgresql"
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": defaults})
    return list(compare_metadata(context, metadata))


async def test_the_migrations_make_the_tables_that_the_rooms_name(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(difference) == []


def test_the_newest_revision_is_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.newest()


async def test_every_table_belongs_to_a_room(database: Database) -> None:
    rooms = {name for room in ROOM_TABLES for name in vars(room)}
    async with database.read() as connection:
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(tables) - {"alembic_version", "locks"} <= rooms
