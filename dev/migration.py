"""Writes a migration from the difference between the rooms' tables and the migrations so far: `make migration NAME=words`.

With --first the only migration, 0001, is written anew (only before the first release).
"""

import argparse
import asyncio
import subprocess
import tempfile
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from lading.app.tables import ROOM_TABLES
from lading.database import Database, metadata
from lading.database.migrations import upgrade

VERSIONS = Path(__file__).parents[1] / "src/lading/database/migrations/versions"
TEMPLATE = '''"""{words}."""

import sqlalchemy as sa
from alembic import op

{moment}revision = "{revision}"
down_revision = {down}


def upgrade() -> None:
{body}
'''


def render(connection: Connection) -> str:
    context = MigrationContext.configure(
        connection,
        opts={
            "target_metadata": metadata,
            "compare_type": True,
            "render_as_batch": True,
            # the leases stand outside: migrating needs one
            "include_object": lambda _item, name, kind, *_: not (kind == "table" and name == "locks"),
        },
    )
    operations = produce_migrations(context, metadata).upgrade_ops
    if operations is None or operations.is_empty():
        raise SystemExit("the migrations already say what the tables say")
    return render_python_code(operations, migration_context=context)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--first", action="store_true")
    arguments = parser.parse_args()
    assert ROOM_TABLES  # imported, and so in the metadata
    before = sorted(path.stem for path in VERSIONS.glob("[0-9]*.py"))
    number = 1 if arguments.first else len(before) + 1
    with tempfile.TemporaryDirectory() as folder:
        database = await Database.open(f"sqlite+aiosqlite:///{folder}/lading.db")
        if not arguments.first:
            await upgrade(database)
        async with database.read() as connection:
            body = await connection.run_sync(render)
        await database.close()
    slug = arguments.name.replace(" ", "_")
    path = VERSIONS / f"{number:04}_{slug}.py"
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    text = TEMPLATE.format(
        words=arguments.name.capitalize(),
        moment="from lading.database.schema import Moment\n\n" if "Moment()" in body else "",
        revision=f"{number:04}",
        down=f'"{number - 1:04}"' if number > 1 else "None",
        body="\n".join("    " + line.strip() if line.startswith("op") else "    " + line.lstrip() for line in lines),
    )
    path.write_text(text.replace("lading.database.schema.Moment()", "Moment()"))
    subprocess.run(["ruff", "format", "-q", path], check=True)
    print(path)


asyncio.run(main())
