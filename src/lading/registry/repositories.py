"""What the rooms below ask of the registry."""

from collections.abc import Collection, Mapping

from sqlalchemy import select

from lading.access import Visibility
from lading.core.names import RepositoryName
from lading.database import Database
from lading.registry.tables import repositories


class RepositoryVisibility:
    """Answers `accounts.token_service.Repositories`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def visibility_of(self, names: Collection[RepositoryName]) -> Mapping[RepositoryName, Visibility]:
        async with self._database.read() as connection:
            found = await connection.execute(
                select(repositories.c.full_name, repositories.c.visibility).where(
                    repositories.c.full_name.in_([name.text for name in names])
                )
            )
            return {RepositoryName(row.full_name): Visibility(row.visibility) for row in found}
